import { type GgmlType, type GgmlTypeName, ggmlTypes } from '../../formats/ggml/types.js'
import { knownClasses, otherForms, type TensorRole, tensorRoles } from '../model/index.js'
import { isFloatType, quantizedCandidates } from './allocate/candidates.js'
import { roleGroups } from './allocate/constraints.js'
import { knownMixtures, knownPresets, readMixture, writableTypes } from './allocate/index.js'
import { presetAliases, presets } from './allocate/presets.js'
import { roleRules } from './allocate/role-rules.js'

/** Types, presets, mixtures, roles and architectures that a plan can use, by name. */
export interface PlanChoices {
  /** Types, from few bits per weight to many. */
  readonly types: readonly (Pick<GgmlType, 'name' | 'bitsPerWeight' | 'blockSize'> & {
    /** Whether a budget chooses it: by default, as an additional candidate, or only where rows do not fit Q8_0. */
    readonly budget: 'chosen' | 'candidate' | 'source'
  })[]
  /** Presets of llama-quantize, with their other names, and the type of most tensors. */
  readonly presets: readonly { readonly name: string; readonly aliases: readonly string[]; readonly type: string }[]
  /** Mixtures that come with the package. */
  readonly mixtures: readonly { readonly name: string; readonly description: string }[]
  /** Roles, each with the lowest type that a budget chooses for it unless told otherwise. */
  readonly roles: readonly { readonly name: TensorRole; readonly floor: string; readonly description: string }[]
  /** Names for several roles at once. */
  readonly groups: readonly { readonly name: string; readonly roles: readonly TensorRole[] }[]
  /** Architectures that can be converted, by the class that config.json names. */
  readonly architectures: readonly string[]
  /** Forms of a checkpoint without config.json that can be converted. */
  readonly otherForms: readonly string[]
}

/** Lists types, presets, mixtures, roles and architectures from the tables that planning and conversion use. */
export async function planChoices(): Promise<PlanChoices> {
  const writable = await writableTypes()
  const mixtures = await Promise.all((await knownMixtures()).map(readMixture))
  return {
    types: ggmlTypes
      .filter(({ name }) => isFloatType(name) || writable(name))
      .map(({ name, bitsPerWeight, blockSize }) => ({ name, bitsPerWeight, blockSize, budget: budgetUse(name) }))
      .toSorted((a, b) => a.bitsPerWeight - b.bitsPerWeight),
    presets: knownPresets(writable).map((name) => ({
      name,
      aliases: Object.keys(presetAliases).filter((alias) => presetAliases[alias] === name),
      type: presets[name]?.type ?? '',
    })),
    mixtures: mixtures.map(({ name, description }) => ({ name, description })),
    roles: tensorRoles.map((name) => ({ name, floor: roleRules[name].floor, description: roleRules[name].why })),
    groups: Object.entries(roleGroups).map(([name, has]) => ({ name, roles: tensorRoles.filter(has) })),
    architectures: knownClasses.toSorted(),
    otherForms,
  }
}

function budgetUse(name: GgmlTypeName): PlanChoices['types'][number]['budget'] {
  if (isFloatType(name)) return 'source'
  return quantizedCandidates.includes(name) ? 'chosen' : 'candidate'
}
