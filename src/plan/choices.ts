import { type GgmlType, ggmlTypes } from '../../formats/ggml/types.js'
import { type TensorRole, tensorRoles } from '../model/index.js'
import { formatTable } from '../terminal/index.js'
import { isWide } from './allocate/candidates.js'
import { roleGroups } from './allocate/constraints.js'
import { knownMixtures, knownPresets, readMixture, writableTypes } from './allocate/index.js'
import { presetAliases, presets } from './allocate/presets.js'
import { roleRules } from './allocate/role-rules.js'

/** What a plan can be asked for by name. */
export interface PlanChoices {
  /** Types for --type, --tensor-type and --floor, from few bits per weight to many. */
  readonly types: readonly Pick<GgmlType, 'name' | 'bitsPerWeight' | 'blockSize'>[]
  /** Presets for --preset, with their other names, and the type of most tensors. */
  readonly presets: readonly { readonly name: string; readonly aliases: readonly string[]; readonly type: string }[]
  /** Mixtures for --mixture that come with the package. */
  readonly mixtures: readonly { readonly name: string; readonly description: string }[]
  /** Roles for --floor and --tie, each with the lowest type that a budget may choose without --floor. */
  readonly roles: readonly { readonly name: TensorRole; readonly floor: string; readonly description: string }[]
  /** Names for several roles at once. */
  readonly groups: readonly { readonly name: string; readonly roles: readonly TensorRole[] }[]
}

/** Lists types, presets, mixtures and roles from the tables that planning uses. */
export async function planChoices(): Promise<PlanChoices> {
  const writable = await writableTypes()
  const mixtures = await Promise.all((await knownMixtures()).map(readMixture))
  return {
    types: ggmlTypes
      .filter(({ name }) => isWide(name) || writable(name))
      .map(({ name, bitsPerWeight, blockSize }) => ({ name, bitsPerWeight, blockSize }))
      .toSorted((a, b) => a.bitsPerWeight - b.bitsPerWeight),
    presets: knownPresets(writable).map((name) => ({
      name,
      aliases: Object.keys(presetAliases).filter((alias) => presetAliases[alias] === name),
      type: presets[name]?.type ?? '',
    })),
    mixtures: mixtures.map(({ name, description }) => ({ name, description })),
    roles: tensorRoles.map((name) => ({ name, floor: roleRules[name].floor, description: roleRules[name].why })),
    groups: Object.entries(roleGroups).map(([name, has]) => ({ name, roles: tensorRoles.filter(has) })),
  }
}

/** The lists as lines for the screen. */
export function planChoicesText({ types, presets, mixtures, roles, groups }: PlanChoices): string {
  const typeTable = formatTable(
    [{ title: 'type' }, { title: 'bits per weight', align: 'right' }, { title: 'block size', align: 'right' }],
    types.map(({ name, bitsPerWeight, blockSize }) => [name, bitsPerWeight.toFixed(4), String(blockSize)]),
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
  ].join('\n\n')
}
