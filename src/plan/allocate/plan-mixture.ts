import type { GgmlTypeName } from '../../../formats/ggml/types.js'
import { MqError } from '../../errors/index.js'
import type { Blueprint, BlueprintTensor } from '../../model/index.js'
import { rowLength } from '../../recipe/index.js'
import type { Plan } from '../plan.js'
import { type Assignment, assemblePlan, goalOf, keptReason } from './assemble.js'
import { isWide, type Writable } from './candidates.js'
import type { Mixture, NamedRecipeRule } from './mixture.js'
import { planPreset } from './plan-preset.js'
import { fittingType, matchTensorTypes, type TensorTypeOverride } from './tensor-types.js'

export interface PlanMixtureOptions {
  readonly overrides?: readonly TensorTypeOverride[]
  /** Whether quantization will have an importance matrix, which a few presets reckon with. */
  readonly importance?: boolean
  /** Whether a type can be written; by default all can. */
  readonly writable?: Writable
}

/**
 * A type for every tensor by a named mixture: the first rule that holds for it, else the default; where rows are not whole blocks of the
 * type, the nearest that they fit. --tensor-type goes before the rules.
 * @throws MqError FLAG_INVALID, MIXTURE_INVALID.
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
    const override = matches.get(tensor.name)
    if (override !== undefined) return { type: override.type, reason: `Set by --tensor-type ${override.spec}` }
    const found = ruled.get(tensor.name)
    if (found !== undefined) {
      const why = found.rule.why === undefined ? '' : `: ${found.rule.why}`
      return { type: found.rule.type, reason: `Rule ${found.number} of ${mixture.name}${why}` }
    }
    const preset = base?.get(tensor.name)
    if (preset !== undefined) return { type: preset, reason: `As ${mixture.preset}, on which ${mixture.name} builds` }
    return { type: mixture.default ?? blueprint.sourceType, reason: `What ${mixture.name} gives all that no rule speaks of` }
  }
  const assign = (tensor: BlueprintTensor): Assignment => {
    if (tensor.keepF32) return { type: 'F32', reason: keptReason }
    const { type, reason } = choose(tensor)
    const fitting = fittingType(type, tensor)
    if (!isWide(fitting) && !writable(fitting)) {
      throw MqError.of('MIXTURE_INVALID', { file: mixture.name, problem: `${tensor.name}: ${fitting} cannot be written yet` })
    }
    if (fitting === type) return { type, reason: `${reason}.` }
    return { type: fitting, reason: `${reason}; ${type} does not fit rows of ${rowLength(tensor)} values.` }
  }
  return assemblePlan(blueprint, assign, { goal: goalOf(`--mixture ${mixture.name}`, overrides), notes: [] })
}

interface Ruled {
  readonly rule: NamedRecipeRule
  /** From 1. */
  readonly number: number
}

/** The first rule that holds for each tensor, by name. */
function rulesOf(blueprint: Blueprint, { rules }: Mixture): ReadonlyMap<string, Ruled> {
  const found = new Map<string, Ruled>()
  rules.forEach((rule, index) => {
    for (const { name } of tensorsOf(blueprint, rule)) if (!found.has(name)) found.set(name, { rule, number: index + 1 })
  })
  return found
}

function tensorsOf(blueprint: Blueprint, { roles, names, blocks, model }: NamedRecipeRule): BlueprintTensor[] {
  const { tensors, experts } = blueprint
  if (model !== undefined && model !== (experts > 0 ? 'experts' : 'dense')) return []
  const tied = tensors.every(({ role }) => role !== 'output')
  const plays = ({ role }: BlueprintTensor): boolean =>
    roles === undefined || roles.includes(role) || (tied && role === 'embedding' && roles.includes('output'))
  const named = tensors.filter((tensor) => !tensor.keepF32 && plays(tensor) && (names?.test(tensor.name) ?? true))
  if (blocks === undefined) return named
  const layers = [...new Set(named.flatMap(({ layer }) => (layer === undefined ? [] : [layer])))].sort((a, b) => a - b)
  return named.filter(({ layer }) => layer !== undefined && blocks({ layer, index: layers.indexOf(layer), count: layers.length }))
}
