import { countKey, fileTypePlace, names, present } from '../base.js'
import { count, finite, type ModelConfig, showField, size } from '../config.js'
import { embeddingAndOutputTensors } from '../embedding-and-output.js'
import { bool, float32, uint32 } from '../metadata.js'
import { mamba2 as mamba2Rows, mamba as mambaTensors, stepFields, unclippedStep } from '../state-space.js'
import { blocks, norm } from '../tensor-mappings.js'
import { type Entry, type Family, type FieldTable, twiceAsWide } from '../types.js'
import { paddedVocabulary } from '../vocabulary.js'

const hidden = ['hidden_size', 'd_model', 'dim'] as const

/** How training began, and how it computes. */
const ignored = [
  ...stepFields,
  'chunk_size',
  'expand',
  'fused_add_norm',
  'norm_before_gate',
  'num_heads',
  'pad_vocab_size_multiple',
  'rescale_prenorm_residual',
  'residual_in_fp32',
  'ssm_cfg',
  'use_mambapy',
  'use_associative_scan',
  'use_falcon_mambapy',
]

const supported: FieldTable['supported'] = {
  rms_norm: [true],
  use_conv_bias: [true],
  time_step_limit: unclippedStep,
}

const falconClass = 'FalconMambaForCausalLM'

/** Mamba and Falcon-Mamba, whose step, B and C are normed without weights. */
export const mamba: Family = {
  architecture: 'mamba',
  classes: ['MambaForCausalLM', 'MambaLMHeadModel', falconClass],
  fields: {
    defaults: { tie_word_embeddings: true },
    classDefaults: { [falconClass]: { mixer_rms_eps: 1e-6 } },
    supported: { ...supported, mixer_rms_eps: mixerEpsilonNote },
    ignored,
  },
  keys: (config) => {
    const { inner, kernel, state, stepRank } = dimensionsOf(config)
    return [
      ...unlimited(config),
      ['ssm.conv_kernel', uint32(kernel)],
      ['ssm.inner_size', uint32(inner)],
      ['ssm.state_size', uint32(state)],
      ['ssm.time_step_rank', uint32(stepRank)],
      ...epsilon(config),
      ['ssm.dt_b_c_rms', bool(hasMixerNorms(config))],
      fileTypePlace,
    ]
  },
  tensors: (config) => {
    const dimensions = dimensionsOf(config)
    if (dimensions.inner !== 2 * dimensions.hidden) throw config.invalid('intermediate_size is not twice hidden_size')
    return [
      ...embeddingAndOutputTensors(
        config,
        { hidden: dimensions.hidden, vocabulary: paddedVocabulary(config, 8, embeddings) },
        ends,
      ),
      ...blocks('backbone.layers', config.get(count, ...names.layers), () => [
        norm('norm', 'attn_norm', dimensions.hidden),
        ...mambaTensors('mixer', dimensions),
      ]),
    ]
  },
  widths: { feedForward: false, fixed: twiceAsWide },
  quirks: { rename: oneEmbedding, dropsTiedOutput: true, vocabulary: (config) => paddedVocabulary(config, 8, embeddings) },
}

/** Mamba 2 (Codestral Mamba). */
export const mamba2: Family = {
  architecture: 'mamba2',
  classes: ['Mamba2ForCausalLM'],
  fields: { supported, ignored: [...ignored, 'time_step_rank'] },
  keys: (config) => {
    const { inner, kernel, state, heads, groups } = dimensions2Of(config)
    return [
      ...unlimited(config),
      ['ssm.conv_kernel', uint32(kernel)],
      ['ssm.inner_size', uint32(inner)],
      ['ssm.state_size', uint32(state)],
      ['ssm.time_step_rank', uint32(heads)],
      ['ssm.group_count', uint32(groups)],
      ...epsilon(config),
      fileTypePlace,
    ]
  },
  tensors: (config) => {
    const dimensions = dimensions2Of(config)
    return [
      ...embeddingAndOutputTensors(
        config,
        { hidden: dimensions.hidden, vocabulary: paddedVocabulary(config, 16, embeddings) },
        ends,
      ),
      ...blocks('backbone.layers', config.get(count, ...names.layers), () => [
        norm('norm', 'attn_norm', dimensions.hidden),
        ...mamba2Rows('mixer', dimensions),
      ]),
    ]
  },
  widths: { feedForward: false, embedding: 'stream' },
  quirks: {
    rename: (name) => oneEmbedding(name.replace(/^model\.(?=backbone|lm_head)/, '')),
    vocabulary: (config) => paddedVocabulary(config, 16, embeddings),
  },
}

const ends = { root: 'backbone.', embedding: 'embeddings', norm: 'norm_f' } as const
const embeddings = 'backbone.embeddings.weight'

/** Checkpoints of the authors write `embedding`. */
function oneEmbedding(name: string): string {
  return name.replace(/^backbone\.embedding\./, 'backbone.embeddings.')
}

/** Keys of models without attention: their context has no end, which 2^20 stands for. */
function unlimited(config: ModelConfig): Entry[] {
  return [
    ['context_length', uint32(2 ** 20)],
    ...countKey(config, 'embedding_length', ...hidden),
    ['feed_forward_length', uint32(0)],
    ['attention.head_count', uint32(0)],
    ...countKey(config, 'block_count', ...names.layers),
  ]
}

function epsilon(config: ModelConfig): Entry[] {
  return present('attention.layer_norm_rms_epsilon', normEpsilon(config), float32)
}

function normEpsilon(config: ModelConfig): number {
  return config.find(finite, 'layer_norm_epsilon', 'rms_norm_eps') ?? 1e-5
}

/** Whether the step, B and C of each layer are normed, as in Falcon-Mamba. */
function hasMixerNorms({ className, fields }: ModelConfig): boolean {
  return className === falconClass || fields['model_type'] === 'falcon_mamba'
}

/** llama.cpp has one epsilon for all norms of these models. */
function mixerEpsilonNote(value: unknown, config: ModelConfig): boolean | string {
  if (!hasMixerNorms(config) || value === normEpsilon(config)) return true
  return `llama.cpp norms the step, B and C of each layer with the epsilon of the other norms, ${normEpsilon(config)}, and config.json has ${showField(value)} for them (mixer_rms_eps): activations differ slightly.`
}

function dimensionsOf(config: ModelConfig): Parameters<typeof mambaTensors>[1] {
  const width = config.get(size, ...hidden)
  return {
    hidden: width,
    kernel: config.find(count, 'conv_kernel', 'd_conv') ?? 4,
    inner: config.find(size, 'intermediate_size', 'd_inner') ?? 2 * width,
    state: config.find(size, 'state_size', 'd_state') ?? 16,
    stepRank: config.find(size, 'time_step_rank', 'dt_rank') ?? Math.ceil(width / 16),
  }
}

function dimensions2Of(config: ModelConfig): Parameters<typeof mamba2Rows>[1] {
  const width = config.get(size, ...hidden)
  const expand = config.find(count, 'expand') ?? 2
  const inner = config.find(size, 'intermediate_size', 'd_inner') ?? expand * width
  const heads = inner / (config.find(size, 'head_dim') ?? 64)
  const groups = config.find(count, 'n_groups') ?? 1
  if (inner !== expand * width || !Number.isInteger(heads) || !Number.isInteger(inner / groups)) {
    throw config.invalid('hidden_size, expand, head_dim and n_groups do not fit')
  }
  return {
    hidden: width,
    kernel: config.find(count, 'conv_kernel', 'd_conv') ?? 4,
    inner,
    state: config.find(size, 'state_size', 'd_state') ?? 128,
    heads,
    groups,
  }
}
