import { groupBy } from '../../collections/index.js'
import { parameterCount } from '../../recipe/index.js'
import { formatBytes, formatCount, formatTable } from '../../terminal/index.js'
import type { Plan, PlanTensor } from '../plan.js'

/**
 * A plan as text: types by role and by layer, size, notes. The reasons are in the plan itself.
 */
export function showPlan(plan: Plan): string {
  const { goal, bitsPerWeight, dataBytes, tensors, notes } = plan
  const byRole = groupBy(tensors, ({ role }) => role)
  const byLayer = groupBy(tensors, ({ layer }) => layer)
  const layers = [...byLayer].flatMap(([layer, ofLayer]) => (layer === undefined ? [] : [{ layer, ofLayer }]))
  const runs = mergeRuns(
    layers.toSorted((a, b) => a.layer - b.layer).map(({ layer, ofLayer }) => ({ layer, cells: sizeCells(ofLayer) })),
  )
  const roleTable = formatTable(
    [{ title: 'role' }, ...sizeColumns, { title: 'types' }],
    [...byRole].map(([role, ofRole]) => [role, ...sizeCells(ofRole)]),
  )
  const layerTable = formatTable([{ title: 'layers', align: 'right' }, ...sizeColumns, { title: 'types' }], runs)
  const total = `${bitsPerWeight.toFixed(4)} bits per weight, ${formatBytes(dataBytes)} of tensors, for ${goal}`
  return [roleTable, layerTable, [total, ...notes].join('\n')].join('\n\n')
}

const sizeColumns = [
  { title: 'weights', align: 'right' },
  { title: 'size', align: 'right' },
  { title: 'bits', align: 'right' },
] as const

function sizeCells(tensors: readonly PlanTensor[]): string[] {
  const weights = parameterCount(tensors)
  const bytes = tensors.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  return [formatCount(weights), formatBytes(bytes), ((8 * bytes) / weights).toFixed(2), typeCounts(tensors)]
}

/** How many tensors have each type, the most frequent first: `Q4_K 12, Q6_K 3`. */
function typeCounts(tensors: readonly PlanTensor[]): string {
  const counts = [...groupBy(tensors, ({ type }) => type)].map(([type, ofType]) => ({ type, count: ofType.length }))
  return counts
    .toSorted((a, b) => b.count - a.count)
    .map(({ type, count }) => `${type} ${count}`)
    .join(', ')
}

/** Merges layers of the same sizes and types into one line, such as `3-60`. */
function mergeRuns(lines: readonly { readonly layer: number; readonly cells: readonly string[] }[]): string[][] {
  const runs: { first: number; last: number; cells: readonly string[] }[] = []
  for (const { layer, cells } of lines) {
    const run = runs.at(-1)
    if (run !== undefined && run.last === layer - 1 && run.cells.join() === cells.join()) run.last = layer
    else runs.push({ first: layer, last: layer, cells })
  }
  return runs.map(({ first, last, cells }) => [first === last ? `${first}` : `${first}-${last}`, ...cells])
}
