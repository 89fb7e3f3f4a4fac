import { baseKeys, countKey, type Dimensions, fileTypePlace, floatKey, names } from '../base.js'
import { type ModelConfig, size } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { latentAttention, latentDimensions } from '../latent-attention.js'
import { uint32 } from '../metadata.js'
import { plainFeedForward } from '../plain-feed-forward.js'
import { longRopeFactors } from '../rope.js'
import { type TensorMapping, tensor } from '../tensor-mappings.js'
import type { Entry, Family } from '../types.js'

// Small models with latent attention whose key and value projections llama.cpp reads in one matrix.

/** PLM: queries projected at once, squared ReLU. */
export const plm: Family = {
  architecture: 'plm',
  classes: ['PLMForCausalLM'],
  fields: {
    defaults: { tie_word_embeddings: true },
    supported: { hidden_act: ['relu2'], q_lora_rank: [] },
    ignored: ['head_dim', 'qk_head_dim'],
  },
  keys: (config) => [
    ...baseKeys(config),
    ...countKey(config, 'vocab_size', 'vocab_size'),
    ...latentKeys(config),
    ['attention.value_length', uint32(latentDimensions(config).valueLength)],
    ['rope.dimension_count', uint32(latentDimensions(config).rotated)],
  ],
  tensors: (config) =>
    decoderTensors(config, {
      attention: () => unsplit(config),
      feedForward: ({ hidden, feedForward }: Dimensions) => plainFeedForward('mlp', hidden, feedForward, { bias: false }),
    }),
  widths: { feedForward: true, embedding: 'plain' },
  roles: { attn_kv_b: 'attention-k-b' },
}

/** MiniCPM 3. llama.cpp has its scales of embedding, residual stream and logits in its code. */
export const miniCpm3: Family = {
  architecture: 'minicpm3',
  classes: ['MiniCPM3ForCausalLM'],
  fields: {
    defaults: { tie_word_embeddings: true },
    supported: { scale_emb: [12], scale_depth: [1.4], dim_model_base: [256] },
    ropeKinds: ['longrope'],
    ignored: ['head_dim', 'qk_head_dim', 'rope_theta'],
  },
  keys: (config) => [
    fileTypePlace,
    ...countKey(config, 'context_length', ...names.context),
    ...countKey(config, 'embedding_length', ...names.hidden),
    ...countKey(config, 'block_count', ...names.layers),
    ...countKey(config, 'feed_forward_length', 'intermediate_size'),
    ...countKey(config, 'attention.head_count', ...names.heads),
    ...countKey(config, 'attention.head_count_kv', ...names.keyValueHeads),
    ...floatKey(config, 'attention.layer_norm_rms_epsilon', ...names.rmsNormEpsilon),
    ...countKey(config, 'vocab_size', 'vocab_size'),
    ...countKey(config, 'attention.q_lora_rank', 'q_lora_rank'),
    ...latentKeys(config),
    ['rope.dimension_count', uint32(latentDimensions(config).rotated)],
  ],
  tensors: (config) => decoderTensors(config, { attention: () => unsplit(config) }),
  widths: { feedForward: true, fixed: 'llama.cpp divides the output by it' },
  roles: { attn_kv_b: 'attention-k-b' },
  quirks: { computed: (config) => longRopeFactors(config, latentDimensions(config).rotated) },
}

function latentKeys(config: ModelConfig): Entry[] {
  const { plain, rotated } = latentDimensions(config)
  return [...countKey(config, 'attention.kv_lora_rank', 'kv_lora_rank'), ['attention.key_length', uint32(plain + rotated)]]
}

function unsplit(config: ModelConfig): TensorMapping[] {
  const dimensions = latentDimensions(config)
  const { heads, plain, valueLength } = dimensions
  const shape = [heads * (plain + valueLength), config.get(size, 'kv_lora_rank')]
  const name = 'self_attn.kv_b_proj.weight'
  return latentAttention(dimensions).map((mapping) => (mapping.name === name ? tensor(name, 'attn_kv_b.weight', shape) : mapping))
}
