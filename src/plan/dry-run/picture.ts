import { type GgmlTypeName, ggmlType } from '../../../formats/ggml/types.js'
import { groupBy } from '../../collections/index.js'
import { type TensorRole, tensorRoles } from '../../model/index.js'
import { parameterCount } from '../../recipe/index.js'
import { type Markup, markup, page, section, table } from '../../report/index.js'
import { formatBytes } from '../../terminal/index.js'
import type { PlanTensor } from '../plan.js'
import type { DryRun } from './dry-run.js'

const cell = { width: 54, height: 15, gap: 2 } as const
const margin = { left: 66, top: 150, right: 150, bottom: 24 } as const

/** Colours from few bits to many: where the steps of common types lie. Readable in grey, and by those who do not see red or green. */
const colours: readonly (readonly [bits: number, colour: string])[] = [
  [1.5, '#3b0f70'],
  [2, '#641a80'],
  [2.5, '#8c2981'],
  [3, '#b73779'],
  [4, '#de4968'],
  [5, '#f7705c'],
  [6, '#fe9f6d'],
  [8, '#fecf92'],
  [16, '#fcfdbf'],
]

/** What is drawn: of a plan, or of a file whose tensors have these types. */
export type DrawnPlan = Pick<DryRun, 'architecture' | 'bitsPerWeight' | 'fileBytes' | 'goal'> & {
  readonly tensors: readonly Pick<PlanTensor, 'name' | 'role' | 'layer' | 'shape' | 'type' | 'sizeBytes'>[]
}

/** A picture of a plan: a row for each layer, a column for each role, a colour for the bits of each weight. */
export function planPicture(plan: DrawnPlan, title: string): Markup {
  const roles = tensorRoles.filter((role) => plan.tensors.some((tensor) => tensor.role === role && isShown(tensor)))
  const layers = [...new Set(plan.tensors.filter(isShown).flatMap(({ layer }) => layer ?? []))].toSorted((a, b) => a - b)
  const rowOf = new Map(layers.map((layer, row) => [layer, row]))
  const outside = plan.tensors.some((tensor) => tensor.layer === undefined && isShown(tensor))
  const rows = layers.length + (outside ? 1 : 0)
  const width = margin.left + roles.length * cell.width + margin.right
  const height = Math.max(margin.top + rows * cell.height + margin.bottom, margin.top + (colours.length + 2) * 22)
  const places = groupBy(
    plan.tensors.filter(isShown),
    ({ layer, role }) => `${layer === undefined ? layers.length : rowOf.get(layer)} ${role}`,
  )
  const cells = [...places].map(([key, tensors]) => {
    const [row, role] = [Number(key.split(' ')[0]), key.split(' ')[1] as TensorRole] as const
    return cellMarkup(tensors, margin.left + roles.indexOf(role) * cell.width, margin.top + row * cell.height)
  })
  const goal = plan.goal === '' ? '' : `, for ${plan.goal}`
  const words = `${plan.architecture}, ${plan.bitsPerWeight.toFixed(3)} bits per weight, ${formatBytes(plan.fileBytes)}${goal}`
  return markup`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${words}" style="max-width:100%;height:auto" font-family="system-ui,-apple-system,Segoe UI,Roboto,DejaVu Sans,sans-serif" font-size="11">
<rect width="${width}" height="${height}" fill="#ffffff"/>
<text x="16" y="26" style="font-size:16px;font-weight:600;fill:#14181d">${title}</text>
<text x="16" y="44" style="fill:#5a6470">${words}</text>
${roles.map((role, at) => roleHead(role, margin.left + (at + 0.5) * cell.width))}
${Array.from({ length: rows }, (_, row) => rowHead(row, layers))}
${cells}
${legend(width - margin.right + 24)}
</svg>`
}

/** The picture in a page of its own, with what the model takes to run: one file that asks nothing of a network. */
export function planPage(plan: DryRun, title: string): string {
  const columns = ['memory to run', 'weights', 'KV cache', 'compute', 'total'].map((words) => ({ title: words }))
  const rows = plan.memory.map(({ name, weightsBytes, kvCacheBytes, computeBytes, outputBytes, totalBytes }) => ({
    cells: [name, ...[weightsBytes, kvCacheBytes, computeBytes + outputBytes, totalBytes].map(formatBytes)],
  }))
  const memory =
    rows.length === 0 ? undefined : section(`Memory, at a context of ${plan.run.context} tokens`, table(columns, rows))
  return page(title, [planPicture(plan, title), memory])
}

/** Norms and what else is always F32 say nothing. */
function isShown({ role, shape }: Pick<PlanTensor, 'role' | 'shape'>): boolean {
  return role !== 'norm' && shape.length > 1
}

function cellMarkup(tensors: DrawnPlan['tensors'], x: number, y: number): Markup {
  const elements = parameterCount(tensors)
  const bytes = tensors.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const bits = (8 * bytes) / elements
  const types = [...new Set(tensors.map(({ type }) => type))].join(', ')
  const said = `${tensors.map(({ name }) => name).join(', ')}: ${types}, ${bits.toFixed(2)} bits, ${formatBytes(bytes)}`
  const ink = bits < 4.6 ? '#ffffff' : '#14181d'
  return markup`<g><title>${said}</title><rect x="${x + 1}" y="${y + 1}" width="${cell.width - cell.gap}" height="${cell.height - cell.gap}" rx="2" fill="${colourOf(bits)}"/><text x="${x + cell.width / 2}" y="${y + 11}" style="font-size:9px;text-anchor:middle;fill:${ink}">${types.length > 9 ? `${bits.toFixed(1)} bits` : types}</text></g>
`
}

function roleHead(role: TensorRole, x: number): Markup {
  return markup`<text transform="translate(${x} ${margin.top - 8}) rotate(-40)" style="fill:#14181d">${role}</text>
`
}

function rowHead(row: number, layers: readonly number[]): Markup | undefined {
  const { length } = layers
  const isNamed = row === length || length <= 40 || row % 5 === 0 || row === length - 1
  if (!isNamed) return undefined
  const words = row === length ? 'outside' : `${row === 0 ? 'layer ' : ''}${layers[row]}`
  return markup`<text x="${margin.left - 8}" y="${margin.top + row * cell.height + 11}" style="text-anchor:end;fill:#5a6470">${words}</text>
`
}

function legend(x: number): Markup {
  const examples: Readonly<Record<string, GgmlTypeName>> = {
    2: 'IQ2_XXS',
    3: 'IQ3_XXS',
    4: 'IQ4_XS',
    5: 'Q5_K',
    6: 'Q6_K',
    8: 'Q8_0',
    16: 'BF16',
  }
  const lines = colours.map(([bits, colour], at) => {
    const y = margin.top + at * 22
    const example = examples[String(bits)]
    const words = example === undefined ? '' : ` ${example} ${ggmlType(example).bitsPerWeight.toFixed(2)}`
    return markup`<rect x="${x}" y="${y}" width="18" height="16" rx="2" fill="${colour}" stroke="#c8ccd2" stroke-width="0.5"/><text x="${x + 26}" y="${y + 12}" style="fill:#14181d">${bits}<tspan style="fill:#5a6470">${words}</tspan></text>
`
  })
  return markup`<g><text x="${x}" y="${margin.top - 10}" style="fill:#14181d;font-weight:600">bits per weight</text>
${lines}</g>`
}

/** Between two steps the colour is mixed. */
function colourOf(bits: number): string {
  const above = colours.findIndex(([step]) => step >= bits)
  if (above === 0) return colours[0]?.[1] ?? ''
  if (above < 0) return colours.at(-1)?.[1] ?? ''
  const [[low, from], [high, to]] = [colours[above - 1], colours[above]] as [(typeof colours)[number], (typeof colours)[number]]
  const share = (bits - low) / (high - low)
  const mixed = [1, 3, 5].map((at) => {
    const [a, b] = [from, to].map((colour) => Number.parseInt(colour.slice(at, at + 2), 16)) as [number, number]
    return Math.round(a + share * (b - a))
      .toString(16)
      .padStart(2, '0')
  })
  return `#${mixed.join('')}`
}
