import type { GgmlTypeName } from '../../../formats/ggml/types.js'
import type { FileTypeName } from '../../../formats/gguf/index.js'
import {
  always,
  eightExperts,
  eightExpertsMoreBits,
  either,
  firstEighth,
  firstFour,
  firstSixteenth,
  firstTwo,
  middle,
  moreBits,
  type PresetRule,
  shared,
  sharedOrFourExperts,
  withImportance,
  withoutImportance,
} from './preset-rules.js'

/** A mixture of llama-quantize: a type for most tensors, and rules for some. */
export interface Preset {
  readonly type: GgmlTypeName
  /** Output matrix, and the embedding where it serves as one; Q6_K by default. */
  readonly output?: GgmlTypeName
  readonly embedding?: GgmlTypeName
  /** Everything of three dimensions. */
  readonly stacked?: GgmlTypeName
  readonly value?: PresetRule
  readonly key?: PresetRule
  readonly query?: PresetRule
  readonly attentionOutput?: PresetRule
  readonly gate?: PresetRule
  readonly up?: PresetRule
  readonly down?: PresetRule
  /** Of the mixtures below some 3 bits, which have rules of their own for models of 8 experts and count tensors rather than blocks. */
  readonly lowBits?: true
}

const eightExpertsQ5 = eightExperts('Q5_K')

/** What all mixtures of 1 and 2 bits share, but for the type that stands between. */
function lowBits(between: GgmlTypeName): Pick<Preset, 'lowBits' | 'output' | 'embedding' | 'value' | 'key' | 'down'> {
  return {
    lowBits: true,
    output: 'Q5_K',
    embedding: between,
    value: either(sharedOrFourExperts('Q4_K'), always(between)),
    key: eightExperts('Q4_K'),
    down: firstEighth(between),
  }
}

/**
 * llama-quantize's presets as data. Source: llama_tensor_get_type_impl and llama_ftype_get_default_type of src/llama-quant.cpp, and the
 * names of tools/quantize/quantize.cpp, llama.cpp v0.5.0; its exceptions for Falcon are left out.
 */
export const presets: Readonly<Partial<Record<FileTypeName, Preset>>> = {
  IQ1_S: { type: 'IQ1_S', ...lowBits('Q2_K'), attentionOutput: either(eightExpertsQ5, always('IQ2_XXS')) },
  IQ1_M: { type: 'IQ1_M', ...lowBits('Q2_K'), attentionOutput: either(eightExpertsQ5, always('IQ2_XXS')) },
  IQ2_XXS: { type: 'IQ2_XXS', ...lowBits('Q2_K'), attentionOutput: eightExpertsQ5 },
  IQ2_XS: { type: 'IQ2_XS', ...lowBits('Q2_K'), attentionOutput: eightExpertsQ5 },
  IQ2_S: { type: 'IQ2_XS', ...lowBits('IQ3_S'), attentionOutput: either(eightExpertsQ5, always('IQ3_S')) },
  IQ2_M: { type: 'IQ2_S', ...lowBits('IQ3_S'), attentionOutput: either(eightExpertsQ5, always('IQ3_S')) },
  IQ3_XXS: {
    type: 'IQ3_XXS',
    output: 'Q5_K',
    embedding: 'IQ3_S',
    value: either(shared('Q4_K'), withoutImportance(always('IQ3_S'))),
    key: always('IQ2_S'),
    query: always('IQ2_S'),
    attentionOutput: either(eightExpertsQ5, always('IQ3_S')),
    down: withoutImportance(either(firstEighth('Q4_K'), always('Q3_K'))),
  },
  IQ3_XS: {
    type: 'IQ3_S',
    value: shared('Q4_K'),
    key: always('IQ3_XXS'),
    query: always('IQ3_XXS'),
    attentionOutput: eightExpertsQ5,
    gate: middle('IQ3_XXS'),
    up: middle('IQ3_XXS'),
  },
  IQ3_S: { type: 'IQ3_S', value: shared('Q4_K'), attentionOutput: eightExpertsQ5 },
  IQ3_M: {
    type: 'IQ3_S',
    value: always('Q4_K'),
    attentionOutput: either(eightExpertsQ5, always('Q4_K')),
    down: either(firstEighth('Q4_K'), eightExpertsMoreBits('Q4_K')),
  },
  IQ4_XS: {
    type: 'IQ4_XS',
    value: shared('Q5_K'),
    attentionOutput: eightExpertsQ5,
    down: withoutImportance(firstEighth('Q5_K')),
  },
  IQ4_NL: {
    type: 'IQ4_NL',
    value: shared('Q5_K'),
    attentionOutput: eightExpertsQ5,
    down: withoutImportance(firstEighth('Q5_K')),
  },
  Q1_0: { type: 'Q1_0' },
  Q2_0: { type: 'Q2_0', embedding: 'Q4_K' },
  TQ1_0: { type: 'TQ1_0', embedding: 'Q4_K' },
  TQ2_0: { type: 'TQ2_0', embedding: 'Q4_K' },
  Q2_K: {
    type: 'Q2_K',
    value: either(shared('Q4_K'), always('Q3_K')),
    attentionOutput: either(eightExpertsQ5, always('Q3_K')),
    down: always('Q3_K'),
  },
  Q2_K_S: { type: 'Q2_K', value: shared('Q4_K'), down: firstEighth('Q4_K') },
  Q3_K_S: { type: 'Q3_K', attentionOutput: eightExpertsQ5 },
  Q3_K_M: {
    type: 'Q3_K',
    value: either(firstTwo('Q5_K'), always('Q4_K')),
    attentionOutput: either(eightExpertsQ5, always('Q4_K')),
    down: either(firstSixteenth('Q5_K'), always('Q4_K')),
  },
  Q3_K_L: {
    type: 'Q3_K',
    value: always('Q5_K'),
    attentionOutput: either(eightExperts('Q3_K'), always('Q5_K')),
    down: always('Q5_K'),
  },
  Q4_0: { type: 'Q4_0', down: withImportance(firstEighth('Q4_1')) },
  Q4_1: { type: 'Q4_1' },
  Q4_K_S: {
    type: 'Q4_K',
    value: firstFour('Q5_K'),
    attentionOutput: eightExpertsQ5,
    down: firstEighth('Q5_K'),
  },
  Q4_K_M: {
    type: 'Q4_K',
    value: moreBits('Q6_K'),
    attentionOutput: eightExpertsQ5,
    down: moreBits('Q6_K'),
  },
  Q5_0: { type: 'Q5_0', down: withImportance(firstEighth('Q5_1')) },
  Q5_1: { type: 'Q5_1' },
  Q5_K_S: { type: 'Q5_K' },
  Q5_K_M: { type: 'Q5_K', value: moreBits('Q6_K'), down: moreBits('Q6_K') },
  Q6_K: { type: 'Q6_K' },
  Q8_0: { type: 'Q8_0', output: 'Q8_0' },
  MXFP4_MOE: { type: 'Q8_0', output: 'Q8_0', stacked: 'MXFP4' },
  F16: { type: 'F16' },
  BF16: { type: 'BF16' },
  F32: { type: 'F32' },
}

/** Their names, from few bits to many. */
export const presetNames = Object.keys(presets) as FileTypeName[]

/** Other names of presets, as llama-quantize takes them. */
export const presetAliases: Readonly<Record<string, FileTypeName>> = { Q3_K: 'Q3_K_M', Q4_K: 'Q4_K_M', Q5_K: 'Q5_K_M' }

/** A preset's own name, from any of its names in any case; undefined where there is none. */
export function presetName(name: string): FileTypeName | undefined {
  const asked = name.toUpperCase()
  const own = Object.hasOwn(presetAliases, asked) ? presetAliases[asked] : asked
  return own !== undefined && Object.hasOwn(presets, own) ? (own as FileTypeName) : undefined
}
