import type { GgmlTypeName } from '../../../formats/ggml/types.js'
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
  /** enum llama_ftype. */
  readonly fileType: number
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
export const presets: Readonly<Record<string, Preset>> = {
  IQ1_S: { fileType: 24, type: 'IQ1_S', ...lowBits('Q2_K'), attentionOutput: either(eightExpertsQ5, always('IQ2_XXS')) },
  IQ1_M: { fileType: 31, type: 'IQ1_M', ...lowBits('Q2_K'), attentionOutput: either(eightExpertsQ5, always('IQ2_XXS')) },
  IQ2_XXS: { fileType: 19, type: 'IQ2_XXS', ...lowBits('Q2_K'), attentionOutput: eightExpertsQ5 },
  IQ2_XS: { fileType: 20, type: 'IQ2_XS', ...lowBits('Q2_K'), attentionOutput: eightExpertsQ5 },
  IQ2_S: { fileType: 28, type: 'IQ2_XS', ...lowBits('IQ3_S'), attentionOutput: either(eightExpertsQ5, always('IQ3_S')) },
  IQ2_M: { fileType: 29, type: 'IQ2_S', ...lowBits('IQ3_S'), attentionOutput: either(eightExpertsQ5, always('IQ3_S')) },
  IQ3_XXS: {
    fileType: 23,
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
    fileType: 22,
    type: 'IQ3_S',
    value: shared('Q4_K'),
    key: always('IQ3_XXS'),
    query: always('IQ3_XXS'),
    attentionOutput: eightExpertsQ5,
    gate: middle('IQ3_XXS'),
    up: middle('IQ3_XXS'),
  },
  IQ3_S: { fileType: 26, type: 'IQ3_S', value: shared('Q4_K'), attentionOutput: eightExpertsQ5 },
  IQ3_M: {
    fileType: 27,
    type: 'IQ3_S',
    value: always('Q4_K'),
    attentionOutput: either(eightExpertsQ5, always('Q4_K')),
    down: either(firstEighth('Q4_K'), eightExpertsMoreBits('Q4_K')),
  },
  IQ4_XS: {
    fileType: 30,
    type: 'IQ4_XS',
    value: shared('Q5_K'),
    attentionOutput: eightExpertsQ5,
    down: withoutImportance(firstEighth('Q5_K')),
  },
  IQ4_NL: {
    fileType: 25,
    type: 'IQ4_NL',
    value: shared('Q5_K'),
    attentionOutput: eightExpertsQ5,
    down: withoutImportance(firstEighth('Q5_K')),
  },
  Q1_0: { fileType: 40, type: 'Q1_0' },
  Q2_0: { fileType: 41, type: 'Q2_0', embedding: 'Q4_K' },
  TQ1_0: { fileType: 36, type: 'TQ1_0', embedding: 'Q4_K' },
  TQ2_0: { fileType: 37, type: 'TQ2_0', embedding: 'Q4_K' },
  Q2_K: {
    fileType: 10,
    type: 'Q2_K',
    value: either(shared('Q4_K'), always('Q3_K')),
    attentionOutput: either(eightExpertsQ5, always('Q3_K')),
    down: always('Q3_K'),
  },
  Q2_K_S: { fileType: 21, type: 'Q2_K', value: shared('Q4_K'), down: firstEighth('Q4_K') },
  Q3_K_S: { fileType: 11, type: 'Q3_K', attentionOutput: eightExpertsQ5 },
  Q3_K_M: {
    fileType: 12,
    type: 'Q3_K',
    value: either(firstTwo('Q5_K'), always('Q4_K')),
    attentionOutput: either(eightExpertsQ5, always('Q4_K')),
    down: either(firstSixteenth('Q5_K'), always('Q4_K')),
  },
  Q3_K_L: {
    fileType: 13,
    type: 'Q3_K',
    value: always('Q5_K'),
    attentionOutput: either(eightExperts('Q3_K'), always('Q5_K')),
    down: always('Q5_K'),
  },
  Q4_0: { fileType: 2, type: 'Q4_0', down: withImportance(firstEighth('Q4_1')) },
  Q4_1: { fileType: 3, type: 'Q4_1' },
  Q4_K_S: {
    fileType: 14,
    type: 'Q4_K',
    value: firstFour('Q5_K'),
    attentionOutput: eightExpertsQ5,
    down: firstEighth('Q5_K'),
  },
  Q4_K_M: {
    fileType: 15,
    type: 'Q4_K',
    value: moreBits('Q6_K'),
    attentionOutput: eightExpertsQ5,
    down: moreBits('Q6_K'),
  },
  Q5_0: { fileType: 8, type: 'Q5_0', down: withImportance(firstEighth('Q5_1')) },
  Q5_1: { fileType: 9, type: 'Q5_1' },
  Q5_K_S: { fileType: 16, type: 'Q5_K' },
  Q5_K_M: { fileType: 17, type: 'Q5_K', value: moreBits('Q6_K'), down: moreBits('Q6_K') },
  Q6_K: { fileType: 18, type: 'Q6_K' },
  Q8_0: { fileType: 7, type: 'Q8_0', output: 'Q8_0' },
  MXFP4_MOE: { fileType: 38, type: 'Q8_0', output: 'Q8_0', stacked: 'MXFP4' },
  F16: { fileType: 1, type: 'F16' },
  BF16: { fileType: 32, type: 'BF16' },
  F32: { fileType: 0, type: 'F32' },
}

/** Other names of presets, as llama-quantize takes them. */
export const presetAliases: Readonly<Record<string, string>> = { Q3_K: 'Q3_K_M', Q4_K: 'Q4_K_M', Q5_K: 'Q5_K_M' }

/** A preset's own name, from any of its names in any case; undefined where there is none. */
export function presetName(name: string): string | undefined {
  const asked = name.toUpperCase()
  const own = Object.hasOwn(presetAliases, asked) ? presetAliases[asked] : asked
  return own !== undefined && Object.hasOwn(presets, own) ? own : undefined
}
