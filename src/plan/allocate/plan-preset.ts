import type { GgmlTypeName } from '../../../formats/ggml/types.js'
import { MqError } from '../../errors/index.js'
import type { Blueprint, BlueprintTensor } from '../../model/index.js'
import { rowLength } from '../../recipe/index.js'
import type { Plan } from '../plan.js'
import { type Assignment, assemblePlan, goalOf, keptReason } from './assemble.js'
import { isWide, type Writable } from './candidates.js'
import { presetTypes } from './preset-types.js'
import { type Preset, presetName, presets } from './presets.js'
import { fittingType, matchTensorTypes, type TensorTypeOverride } from './tensor-types.js'

export interface PlanPresetOptions {
  readonly overrides?: readonly TensorTypeOverride[]
  /** Whether quantization will have an importance matrix, which a few presets reckon with. */
  readonly importance?: boolean
  /** Whether a type can be written; presets and overrides that need another are refused. By default all can. */
  readonly writable?: Writable
}

/**
 * llama.cpp's preset mixtures: for every tensor the type that llama-quantize gives it.
 * @param preset its name, such as `Q4_K_M`, in any case.
 * @throws MqError PRESET_UNKNOWN, FLAG_INVALID.
 */
export function planPreset(blueprint: Blueprint, preset: string, options: PlanPresetOptions = {}): Plan {
  const { overrides = [], importance = false, writable = () => true } = options
  const name = presetName(preset)
  const mixture = name === undefined ? undefined : presets[name]
  const unknown = (): MqError => {
    const known = knownPresets(writable).filter((other) => other !== name)
    return MqError.of('PRESET_UNKNOWN', { preset, known: known.join(', ') })
  }
  if (mixture === undefined) throw unknown()
  const matches = matchTensorTypes(blueprint, overrides, writable)
  const choices = presetTypes(blueprint, mixture, { importance, taken: (tensor) => matches.has(tensor) })

  const assign = (tensor: BlueprintTensor): Assignment => {
    if (tensor.keepF32) return { type: 'F32', reason: keptReason }
    const override = matches.get(tensor.name)
    if (override !== undefined) return fitted(override.type, tensor, `Set by --tensor-type ${override.spec}`)
    const choice = choices.get(tensor.name)
    if (choice === undefined)
      return { type: blueprint.sourceType, reason: 'Never quantized: as llama-quantize, it stays as the source has it.' }
    return fitted(
      choice.type,
      tensor,
      choice.rule === undefined ? `The type of ${name}` : `What ${name} gives ${choice.rule} in this place`,
    )
  }
  const plan = assemblePlan(blueprint, assign, {
    goal: goalOf(`--preset ${name}`, overrides),
    fileType: mixture.fileType,
    notes: [],
  })
  if (plan.tensors.some(({ type }) => !isWide(type) && !writable(type))) throw unknown()
  return plan
}

/** Names of the presets whose types can all be written, from few bits to many. */
export function knownPresets(writable: Writable = () => true): string[] {
  return Object.keys(presets).filter((name) => mainTypes(presets[name] as Preset).every((type) => isWide(type) || writable(type)))
}

/** The types that a preset gives to most of a model; its rules are looked at when a model is. */
function mainTypes({ type, output = 'Q6_K', embedding, stacked }: Preset): GgmlTypeName[] {
  if (isWide(type)) return [type]
  return [type, output, ...(embedding === undefined ? [] : [embedding]), ...(stacked === undefined ? [] : [stacked])]
}

function fitted(type: GgmlTypeName, tensor: BlueprintTensor, reason: string): Assignment {
  const fitting = fittingType(type, tensor)
  if (fitting === type) return { type, reason: `${reason}.` }
  return {
    type: fitting,
    reason: `${reason} is ${type}, whose blocks do not fit rows of ${rowLength(tensor)} values: the nearest that fits.`,
  }
}
