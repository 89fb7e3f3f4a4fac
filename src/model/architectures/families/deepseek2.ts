import { names } from '../base.js'
import { count, listOf, type ModelConfig, word } from '../config.js'
import { indexerKeys, latentFields, latentKeys, latentLayers, latentTensors } from '../latent-model.js'
import { uint32 } from '../metadata.js'
import { predictionCount } from '../mtp.js'
import { rotatedPart } from '../rope.js'
import type { Entry, Family, FieldTable } from '../types.js'
import { adjustTokenizer as adjustGlm } from './glm4moe.js'

/** DeepSeek V2 and V3 (R1): latent attention, many small experts. Kimi K2; Youtu, which is dense. */
export const deepseek2: Family = {
  architecture: 'deepseek2',
  classes: [
    'DeepseekV2ForCausalLM',
    'DeepseekV3ForCausalLM',
    'KimiK25ForConditionalGeneration',
    'KimiVLForConditionalGeneration',
    'YoutuForCausalLM',
    'YoutuVLForConditionalGeneration',
  ],
  fields: {
    ...latentFields,
    classDefaults: {
      DeepseekV2ForCausalLM: { max_position_embeddings: 2048 },
      // Not all tools that save a V3 model keep the function's name, and its absence would mean softmax to llama.cpp.
      DeepseekV3ForCausalLM: { max_position_embeddings: 4096, scoring_func: 'sigmoid' },
    },
    ignored: [
      ...(latentFields.ignored ?? []),
      'num_nextn_predict_layers',
      'ignore_index',
      'media_placeholder_token_id',
      'use_unified_vision_chunk',
    ],
  },
  keys: (config) => {
    const { qk_rope_head_dim: rotated, model_type: type } = config.fields
    const isKnown = type === 'deepseek_v2' || type === 'deepseek_v3'
    return latentKeys(isKnown ? config.with({ head_dim: rotated }) : config)
  },
  tensors: (config) => latentTensors(config),
  footprint: { attention: 'latent', normalizedExperts: 'key' },
  widths: { feedForward: true, embedding: 'plain' },
  quirks: { leaveOut: leaveOutPrediction, dropsTiedOutput: true, preNames: { 'gpt-4o': 'youtu' } },
}

/** GLM-4.7-Flash: the same with a layer that predicts a further token. */
export const glm4moeLite: Family = {
  architecture: 'deepseek2',
  classes: ['Glm4MoeLiteForCausalLM'],
  fields: { ...latentFields, supported: { ...latentFields.supported, partial_rotary_factor: [1] } },
  keys: (config) => [
    ...latentKeys(config, latentLayers(config)),
    ...predictionCount(config),
    // Without it, llama.cpp goes by the number of layers and tokens.
    ['expert_gating_func', uint32(2)],
  ],
  tensors: (config) => latentTensors(config, { layers: latentLayers(config) }),
  widths: { feedForward: true, embedding: 'plain' },
  quirks: { layers: latentLayers, separableMtp: true, dropsTiedOutput: true, adjustTokenizer: adjustGlm },
}

const indexedFields: FieldTable = {
  ...latentFields,
  defaults: { ...latentFields.defaults, scoring_func: 'sigmoid' },
  supported: {
    ...latentFields.supported,
    layer_types: (value) => Array.isArray(value) && value.every((kind) => kind === 'indexed_attention'),
  },
}

/** DeepSeek V3.2: an indexer chooses what is attended to; a layer that predicts a further token is kept. */
export const deepseek32: Family = {
  architecture: 'deepseek32',
  classes: ['DeepseekV32ForCausalLM'],
  fields: indexedFields,
  keys: (config) => {
    const known = config.with({ head_dim: config.fields['qk_rope_head_dim'] })
    return [...latentKeys(known, latentLayers(config)), ...predictionCount(config), ...indexerKeys(config)]
  },
  tensors: (config) => latentTensors(config, { layers: latentLayers(config), indexer: true }),
  widths: { feedForward: true, embedding: 'plain' },
  quirks: { layers: latentLayers, separableMtp: true, dropsTiedOutput: true },
}

/** GLM-5: as DeepSeek V3.2, with layers that use the choice of the one before. */
export const glmDsa: Family = {
  architecture: 'glm-dsa',
  classes: ['GlmMoeDsaForCausalLM'],
  fields: indexedFields,
  keys: (config) => [
    ...latentKeys(config.with({ head_dim: config.fields['qk_rope_head_dim'] }), latentLayers(config)),
    ['rope.dimension_count', uint32(Math.trunc(Number(config.fields['qk_rope_head_dim']) * (rotatedPart(config) ?? 1)))],
    ...predictionCount(config),
    ...indexerKeys(config),
    indexerTypes(config),
  ],
  tensors: (config) => latentTensors(config, { layers: latentLayers(config), indexer: true }),
  widths: { feedForward: true, embedding: 'plain' },
  quirks: { layers: latentLayers, separableMtp: true, dropsTiedOutput: true, adjustTokenizer: adjustGlm },
}

/** Layers that have an indexer of their own; all, where config.json does not say. */
function indexerTypes(config: ModelConfig): Entry {
  const layers = config.get(count, ...names.layers)
  const types = config.find(listOf(word), 'indexer_types') ?? Array.from({ length: layers }, () => 'full')
  return ['attention.indexer.types', { type: 'array', elementType: 'bool', value: types.map((type) => type === 'full') }]
}

/** Multi-token prediction layers stand behind the others. */
function leaveOutPrediction(name: string, config: ModelConfig): string | undefined {
  const layer = /^model\.layers\.(\d+)\./.exec(name)?.[1]
  if (layer === undefined || Number(layer) < config.get(count, ...names.layers)) return undefined
  return `of the multi-token prediction layer ${layer}, which llama.cpp does not run`
}
