import type { GgmlTypeName } from '../../../formats/ggml/types.js'
import { type FileTypeName, fileTypes } from '../../../formats/gguf/index.js'
import { MqError } from '../../errors/index.js'
import type { Blueprint, BlueprintTensor } from '../../model/index.js'
import type { Plan } from '../plan.js'
import { assemblePlan } from './assemble.js'
import { type Assignment, fixedType, storedOrFallback } from './assignment.js'
import { isFloatType, type Writable } from './candidates.js'
import { presetTypes } from './preset-types.js'
import { type Preset, presetName, presetNames, presets } from './presets.js'
import { matchTensorTypes, specsOf, type TensorTypeOverride } from './tensor-types.js'

/** Exceptions to a preset, and what is known for it. */
export interface PlanPresetOptions {
  readonly overrides?: readonly TensorTypeOverride[]
  /** Whether quantization will have an importance matrix, which a few presets depend on. */
  readonly importance?: boolean
  /** Whether a type can be written; presets and overrides that need another are refused. By default all can. */
  readonly writable?: Writable
}

/**
 * llama.cpp's preset mixtures: for every tensor the type that llama-quantize gives it.
 * @param preset its name, such as `Q4_K_M`, in any case.
 * @throws MqError PRESET_UNKNOWN, OPTION_INVALID.
 */
export function planPreset(blueprint: Blueprint, preset: string, options: PlanPresetOptions = {}): Plan {
  const { overrides = [], importance = false, writable = () => true } = options
  const name = presetName(preset)
  const mixture = name === undefined ? undefined : presets[name]
  const unknown = (): MqError => {
    const known = knownPresets(writable).filter((other) => other !== name)
    return MqError.of('PRESET_UNKNOWN', { preset, known: known.join(', ') })
  }
  if (name === undefined || mixture === undefined) throw unknown()
  const matches = matchTensorTypes(blueprint, overrides, writable)
  const choices = presetTypes(blueprint, mixture, { importance, taken: (tensor) => matches.has(tensor) })

  const assign = (tensor: BlueprintTensor): Assignment => {
    const fixed = fixedType(tensor, matches)
    if (fixed !== undefined) return fixed
    const choice = choices.get(tensor.name)
    if (choice === undefined)
      return { type: blueprint.sourceType, reason: 'Not quantized, as in llama-quantize: the type of the source.' }
    const { type, rule } = choice
    return storedOrFallback(type, tensor, rule === undefined ? `The type of ${name}` : `${name} gives ${rule} this type here`)
  }
  const plan = assemblePlan(blueprint, assign, {
    goal: { kind: 'preset', preset: name, ...specsOf(overrides) },
    fileType: fileTypes[name],
    notes: [],
  })
  if (plan.tensors.some(({ type }) => !isFloatType(type) && !writable(type))) throw unknown()
  return plan
}

/** Names of the presets whose types can all be written, from few bits to many. */
export function knownPresets(writable: Writable = () => true): FileTypeName[] {
  return presetNames.filter((name) => mainTypes(presets[name] as Preset).every((type) => isFloatType(type) || writable(type)))
}

/** The types that a preset gives to most of a model; its rules are looked at when a model is. */
function mainTypes({ type, output = 'Q6_K', embedding, stacked }: Preset): GgmlTypeName[] {
  if (isFloatType(type)) return [type]
  return [type, output, ...(embedding === undefined ? [] : [embedding]), ...(stacked === undefined ? [] : [stacked])]
}
