import { PatternTooSlow } from '../../../formats/bounded-pattern.js'
import type { GgmlTypeName } from '../../../formats/ggml/types.js'
import { MqError } from '../../errors/index.js'
import type { Blueprint, BlueprintTensor } from '../../model/index.js'
import type { Plan } from '../plan.js'
import { assemblePlan } from './assemble.js'
import { type Assignment, fixedType, withFallback } from './assignment.js'
import { isFloatType, type Writable } from './candidates.js'
import type { Mixture, MixtureRule } from './mixture.js'
import { planPreset } from './plan-preset.js'
import { matchTensorTypes, specsOf, type TensorTypeOverride } from './tensor-types.js'

/** Exceptions to a mixture, and what is known for it. */
export interface PlanMixtureOptions {
  readonly overrides?: readonly TensorTypeOverride[]
  /** Whether quantization will have an importance matrix, which a few presets depend on. */
  readonly importance?: boolean
  /** Whether a type can be written; by default all can. */
  readonly writable?: Writable
}

/**
 * A type for every tensor by a named mixture: the first rule that holds for it, else the default; where rows are not whole blocks of the
 * type, the nearest that they fit. What the user sets by name goes before the rules.
 * @throws MqError OPTION_INVALID, MIXTURE_INVALID.
 */
export function planMixture(blueprint: Blueprint, mixture: Mixture, options: PlanMixtureOptions = {}): Plan {
  const { overrides = [], importance = false, writable = () => true } = options
  const matches = matchTensorTypes(blueprint, overrides, writable)
  const ruled = rulesOf(blueprint, mixture)
  const base =
    mixture.preset === undefined
      ? undefined
      : new Map(planPreset(blueprint, mixture.preset, { importance, writable }).tensors.map(({ name, type }) => [name, type]))

  const choose = (tensor: BlueprintTensor): { type: GgmlTypeName; reason: string } => {
    const found = ruled.get(tensor.name)
    if (found !== undefined) {
      const why = found.rule.why === undefined ? '' : `: ${found.rule.why}`
      return { type: found.rule.type, reason: `Rule ${found.number} of ${mixture.name}${why}` }
    }
    const preset = base?.get(tensor.name)
    if (preset !== undefined) return { type: preset, reason: `As in ${mixture.preset}, the base of ${mixture.name}` }
    return { type: mixture.default ?? blueprint.sourceType, reason: `Default of ${mixture.name}, no rule matches` }
  }
  const assign = (tensor: BlueprintTensor): Assignment => {
    const fixed = fixedType(tensor, matches)
    if (fixed !== undefined) return fixed
    const { type, reason } = choose(tensor)
    return withFallback(type, tensor, reason)
  }
  const plan = assemblePlan(blueprint, assign, {
    goal: { kind: 'mixture', mixture: mixture.name, ...specsOf(overrides) },
    notes: [],
  })
  const unwritable = plan.tensors.find(({ type }) => !isFloatType(type) && !writable(type))
  if (unwritable === undefined) return plan
  const problem = `${unwritable.name}: ${unwritable.type} cannot be written yet`
  throw MqError.of('MIXTURE_INVALID', { file: mixture.name, problem })
}

interface Ruled {
  readonly rule: MixtureRule
  /** From 1. */
  readonly number: number
}

/** The first rule that holds for each tensor, by name. */
function rulesOf(blueprint: Blueprint, { name: mixture, rules }: Mixture): ReadonlyMap<string, Ruled> {
  const found = new Map<string, Ruled>()
  rules.forEach((rule, index) => {
    try {
      for (const { name } of tensorsOf(blueprint, rule)) if (!found.has(name)) found.set(name, { rule, number: index + 1 })
    } catch (error) {
      if (!(error instanceof PatternTooSlow)) throw error
      throw MqError.of('MIXTURE_INVALID', { file: mixture, problem: `rule ${index + 1}: ${error.message}` }, { cause: error })
    }
  })
  return found
}

function tensorsOf(blueprint: Blueprint, { roles, names, blocks, model }: MixtureRule): BlueprintTensor[] {
  const { tensors, experts } = blueprint
  if (model !== undefined && model !== (experts > 0 ? 'experts' : 'dense')) return []
  const tied = tensors.every(({ role }) => role !== 'output')
  const plays = ({ role }: BlueprintTensor): boolean =>
    roles === undefined || roles.includes(role) || (tied && role === 'embedding' && roles.includes('output'))
  const playing = tensors.filter((tensor) => !tensor.keepF32 && plays(tensor))
  const matching = names?.matching(playing.map(({ name }) => name))
  const named = playing.filter(({ name }) => matching?.has(name) ?? true)
  if (blocks === undefined) return named
  const layers = [...new Set(named.flatMap(({ layer }) => (layer === undefined ? [] : [layer])))].sort((a, b) => a - b)
  return named.filter(({ layer }) => layer !== undefined && blocks({ layer, index: layers.indexOf(layer), count: layers.length }))
}
