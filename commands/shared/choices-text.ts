import type { PlanChoices } from '../../src/plan/index.js'
import { formatTable } from '../../src/terminal/index.js'

/** The lists as lines for the screen. */
export function choicesText({ types, presets, mixtures, roles, groups, architectures, otherForms }: PlanChoices): string {
  const typeTable = formatTable(
    [
      { title: 'type' },
      { title: 'bits per weight', align: 'right' },
      { title: 'block size', align: 'right' },
      { title: 'chosen by a budget' },
    ],
    types.map(({ name, bitsPerWeight, blockSize, budget }) => [
      name,
      bitsPerWeight.toFixed(4),
      String(blockSize),
      budgetWords[budget],
    ]),
  )
  const presetTable = formatTable(
    [{ title: 'preset' }, { title: 'most tensors' }, { title: 'also called' }],
    presets.map(({ name, type, aliases }) => [name, type, aliases.join(', ')]),
  )
  const mixtureTable = formatTable(
    [{ title: 'mixture' }, { title: 'description' }],
    mixtures.map(({ name, description }) => [name, description]),
  )
  const roleTable = formatTable(
    [{ title: 'role' }, { title: 'lowest type' }, { title: 'description' }],
    roles.map(({ name, floor, description }) => [name, floor, description]),
  )
  const groupTable = formatTable(
    [{ title: 'group of roles' }, { title: 'roles' }],
    groups.map(({ name, roles }) => [name, roles.join(', ')]),
  )
  return [
    `Types, for --type, --tensor-type REGEX=TYPE and --floor ROLE=TYPE:\n${typeTable}`,
    `Presets of llama-quantize, for --preset:\n${presetTable}`,
    `Mixtures, for --mixture (or the path of a JSON file):\n${mixtureTable}`,
    `Roles, for --floor ROLE=TYPE and --tie ROLE,ROLE:\n${roleTable}`,
    groupTable,
    `Architectures that can be converted, by the class in config.json:\n${wrapped(architectures)}`,
    `And without config.json: ${otherForms.join(', ')}`,
  ].join('\n\n')
}

const budgetWords: Readonly<Record<PlanChoices['types'][number]['budget'], string>> = {
  chosen: 'yes',
  candidate: 'with --candidate',
  source: 'where rows do not fit Q8_0',
}

const lineWidth = 100

/** Names in lines of some width. */
function wrapped(names: readonly string[]): string {
  const lines: string[] = []
  for (const name of names) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + name.length + 2 <= lineWidth) lines[lines.length - 1] = `${last}, ${name}`
    else lines.push(name)
  }
  return lines.join('\n')
}
