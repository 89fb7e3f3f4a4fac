import { reshape } from '../../../recipe/index.js'
import { groupedAttention } from '../attention.js'
import { baseKeys, countKey, type Dimensions, dimensionsOf, floatKey, names } from '../base.js'
import { count, countOrNone, type Fields, finite, flag, listOf, type ModelConfig, size, word } from '../config.js'
import { embeddingAndOutputTensors } from '../embedding-and-output.js'
import { boundedExperts, gatedFeedForward, routedExperts } from '../feed-forward.js'
import { bool, uint32 } from '../metadata.js'
import { poolingKeys } from '../pooling.js'
import { blocks, linear, norm, type TensorMapping, tensor } from '../tensor-mappings.js'
import type { Entry, Family, FieldTable } from '../types.js'

/** Source: the Config classes of transformers. */
const defaults = {
  conv_L_cache: 3,
  conv_bias: false,
  max_position_embeddings: 128_000,
  norm_eps: 1e-5,
  num_attention_heads: 32,
  num_hidden_layers: 32,
  num_key_value_heads: 8,
  rope_theta: 1_000_000,
}

const supported: FieldTable['supported'] = { conv_bias: [false], block_use_swiglu: [true], use_pos_enc: [true] }

const ignored = [
  'block_dim',
  'block_mlp_init_scale',
  'block_norm_eps',
  'block_out_init_scale',
  'block_use_xavier_init',
  'conv_dim',
  'conv_dim_out',
  'conv_use_xavier_init',
  'full_attn_idxs',
  'num_heads',
  'tie_embedding',
]

/** Layers with attention, by the older field; and its older word for tied embeddings. */
const derived = ({ full_attn_idxs: attention, num_hidden_layers: layers, tie_embedding: tied = true }: Fields): Fields => ({
  tie_word_embeddings: tied,
  ...(typeof layers === 'number' && {
    layer_types: Array.from({ length: Math.min(layers, 65_536) }, (_, layer) =>
      !Array.isArray(attention) || attention.includes(layer) ? 'full_attention' : 'conv',
    ),
  }),
})

/** Classes that embed texts; the latter two look both ways. */
const embedders = ['Lfm2Model', 'Lfm2BidirectionalModel', 'Lfm2BidirectionalForMaskedLM']

/** LFM2 and 2.5: short gated convolutions, and a layer of attention here and there. */
export const lfm2: Family = {
  architecture: 'lfm2',
  classes: ['Lfm2ForCausalLM', 'LFM2ForCausalLM', ...embedders],
  fields: {
    defaults: { ...defaults, block_auto_adjust_ff_dim: true, block_ffn_dim_multiplier: 1, block_multiple_of: 256 },
    derived,
    supported,
    ignored: [...ignored, 'block_ff_dim', 'intermediate_size'],
  },
  keys: async (config) => [
    ...hybridKeys(config.with({ intermediate_size: feedForwardOf(config) })),
    ...countKey(config, 'vocab_size', 'vocab_size'),
    ...countKey(config, 'shortconv.l_cache', 'conv_L_cache'),
    ...floatKey(config, 'attention.layer_norm_rms_epsilon', 'norm_eps'),
    ...(await embedderKeys(config)),
  ],
  tensors: (config) => {
    const width = feedForwardOf(config)
    return tensorsOf(config.with({ intermediate_size: width }), () =>
      gatedFeedForward('feed_forward', config.get(size, 'hidden_size'), width, gated),
    )
  },
  widths: { feedForward: true, embedding: 'plain', heads: 'with-embedding' },
  quirks: { rename: (name) => name.replace(/^lfm2\./, '').replace(/^(?=(?:layers|embed_tokens|embedding_norm)\.)/, 'model.') },
}

/** LFM2 with experts behind some dense layers. */
export const lfm2moe: Family = {
  architecture: 'lfm2moe',
  classes: ['Lfm2MoeForCausalLM'],
  fields: {
    defaults: {
      ...defaults,
      norm_topk_prob: true,
      num_dense_layers: 2,
      num_experts: 32,
      num_experts_per_tok: 4,
      routed_scaling_factor: 1,
      use_expert_bias: true,
    },
    derived,
    // llama.cpp has keys for none of these here.
    supported: { ...supported, norm_topk_prob: [true], routed_scaling_factor: [1], use_expert_bias: [true] },
    ignored,
  },
  keys: (config) => [
    ...hybridKeys(config),
    ...countKey(config, 'expert_feed_forward_length', 'moe_intermediate_size'),
    ...countKey(config, 'leading_dense_block_count', 'num_dense_layers'),
    ['expert_gating_func', uint32(2)],
    ...countKey(config, 'vocab_size', 'vocab_size'),
    ...countKey(config, 'shortconv.l_cache', 'conv_L_cache'),
  ],
  tensors: (config) => {
    const { layers, hidden, feedForward } = dimensionsOf(config)
    const dense = config.get(countOrNone, 'num_dense_layers')
    const experts = boundedExperts(config, layers - dense)
    const width = config.get(size, 'moe_intermediate_size')
    return tensorsOf(config, (layer) =>
      layer < dense
        ? gatedFeedForward('feed_forward', hidden, feedForward, gated)
        : [
            tensor('feed_forward.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
            tensor('feed_forward.expert_bias', 'exp_probs_b.bias', [experts]),
            ...routedExperts('feed_forward.experts', experts, hidden, width, {
              names: gated.names,
              order: ['gate', 'down', 'up'],
            }),
          ],
    )
  },
  widths: { feedForward: true, embedding: 'plain', heads: 'with-embedding' },
}

/** @throws MqError CONFIG_INVALID where a matrix of its own stands behind the model. */
async function embedderKeys(config: ModelConfig): Promise<Entry[]> {
  if (!embedders.includes(config.className)) return []
  if ((await config.checkpoint.readBytes('1_Dense/model.safetensors')) !== undefined) {
    throw config.unsupported('1_Dense holds a projection after the model (ColBERT), which mq does not read')
  }
  const bothWays = config.className === 'Lfm2Model' ? [] : [['attention.causal', bool(false)] as const]
  return [...bothWays, ...(await poolingKeys(config))]
}

const gated = { bias: false, names: ['w1', 'w3', 'w2'] } as const

/** No key-value heads where there is no attention. */
function hybridKeys(config: ModelConfig): Entry[] {
  const groups = config.get(count, ...names.keyValueHeads)
  return baseKeys(config.with({ num_key_value_heads: typesOf(config).map((type) => (type === 'full_attention' ? groups : 0)) }))
}

function typesOf(config: ModelConfig): string[] {
  const types = config.get(listOf(word), 'layer_types')
  const unknown = types.find((type) => type !== 'full_attention' && type !== 'conv')
  if (unknown !== undefined) throw config.invalid(`layer_types has ${JSON.stringify(unknown)}, which mq does not know`)
  return types
}

/** The width that LFM2 works out: two thirds of what is written, times a factor, up to a multiple. */
function feedForwardOf(config: ModelConfig): number {
  const written = config.get(size, 'block_ff_dim', 'intermediate_size')
  if (!config.get(flag, 'block_auto_adjust_ff_dim')) return written
  const step = config.get(count, 'block_multiple_of')
  const factor = config.find(finite, 'block_ffn_dim_multiplier') ?? 1
  return step * Math.ceil(Math.trunc(factor * Math.trunc((2 * written) / 3)) / step)
}

function tensorsOf(config: ModelConfig, feedForward: (layer: number) => TensorMapping[]): TensorMapping[] {
  const dimensions = dimensionsOf(config)
  const { hidden } = dimensions
  const types = typesOf(config)
  if (types.length < dimensions.layers) throw config.invalid('layer_types has fewer entries than there are layers')
  const kernel = config.get(count, 'conv_L_cache')
  const [embedding, , output] = embeddingAndOutputTensors(config, dimensions)
  return [
    embedding as TensorMapping,
    // It stands behind the blocks, whatever llama.cpp calls it.
    norm('model.embedding_norm', 'token_embd_norm', hidden),
    output as TensorMapping,
    ...blocks('model.layers', dimensions.layers, (layer) => [
      norm('operator_norm', 'attn_norm', hidden),
      norm('ffn_norm', 'ffn_norm', hidden),
      ...(types[layer] === 'conv' ? convolution(hidden, kernel) : attention(dimensions)),
      ...feedForward(layer),
    ]),
  ]
}

function attention(dimensions: Dimensions): TensorMapping[] {
  return groupedAttention(dimensions, {
    bias: false,
    headNorm: dimensions.headLength,
    names: { o: 'out_proj', qNorm: 'q_layernorm', kNorm: 'k_layernorm' },
  })
}

function convolution(hidden: number, kernel: number): TensorMapping[] {
  return [
    tensor('conv.conv.weight', 'shortconv.conv.weight', [hidden, 1, kernel], {
      transform: (input) => reshape(input, [hidden, kernel]),
    }),
    ...linear('conv.in_proj', 'shortconv.in_proj', [3 * hidden, hidden], { bias: false }),
    ...linear('conv.out_proj', 'shortconv.out_proj', [hidden, hidden], { bias: false }),
  ]
}
