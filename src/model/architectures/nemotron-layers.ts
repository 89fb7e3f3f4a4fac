import { groupedAttention } from './attention.js'
import { type Dimensions, dimensionsOf, names } from './base.js'
import { count, countOrNone, type Fields, listOf, type ModelConfig, size, word } from './config.js'
import { embeddingAndOutputTensors } from './embedding-and-output.js'
import { boundedExperts } from './feed-forward.js'
import { countedPredictions, predictionLayers } from './mtp.js'
import { plainFeedForward } from './plain-feed-forward.js'
import { type Mamba2Dimensions, mamba2 } from './state-space.js'
import { blocks, linear, norm, stackedExperts, type TensorMapping, tensor, within } from './tensor-mappings.js'
import { paddedVocabulary } from './vocabulary.js'

// The layers of Nemotron-H and Nemotron 3: Mamba 2, attention, a feed-forward part or experts, and one that predicts a further token.

const kinds = { M: 'mamba', '*': 'attention', '-': 'mlp', E: 'moe' } as const
export type Kind = (typeof kinds)[keyof typeof kinds]

/** Other words for them in lists. */
const listed: Readonly<Record<string, Kind>> = {
  mamba: 'mamba',
  linear_attention: 'mamba',
  attention: 'attention',
  full_attention: 'attention',
  mlp: 'mlp',
  moe: 'moe',
}

/** Whether some layers have experts. Layers of their own widths (Puzzle) say how many experts each uses. */
export function hasExperts(fields: Fields): boolean {
  const { num_experts_per_tok: used, block_configs: configs, layers_block_type: list, hybrid_override_pattern: pattern } = fields
  // transformers 5 writes numbers of experts for models that have none.
  if (Array.isArray(list)) return list.includes('moe')
  if (typeof pattern === 'string') return pattern.includes('E')
  return (used !== undefined && used !== null) || Array.isArray(configs)
}

/** Layers of the output that predict a further token. */
export function predictionsOf(config: ModelConfig): number {
  return predictionLayers(config, storedPredictions(config))
}

/** Layers of the checkpoint that predict a further token; llama.cpp knows one. @throws MqError CONFIG_INVALID. */
export function storedPredictions(config: ModelConfig): number {
  const layers = countedPredictions(config, 'mtp.')
  if (layers > 1) throw config.invalid(`num_nextn_predict_layers is ${layers}, and llama.cpp has at most 1 here`)
  return hasExperts(config.fields) ? layers : 0
}

/**
 * The name that the tables here have: blocks of the checkpoint have three names. The two parts of a layer that predicts a further token,
 * attention and experts, are one layer behind the others.
 */
export function oneName(name: string, config: ModelConfig): string {
  if (name.startsWith('mtp.') && storedPredictions(config) > 0) {
    const layer = `model.layers.${kindsOf(config).length}.`
    return name.replace(/^mtp\.layers\.1\.norm\./, `${layer}moe_norm.`).replace(/^mtp\.layers\.[01]\./, layer)
  }
  return name
    .replace(/^backbone\.layers\./, 'model.layers.')
    .replace(/^(?:backbone\.embedding|model\.embeddings)\./, 'backbone.embeddings.')
    .replace(/^model\.norm_f\./, 'backbone.norm_f.')
}

/** Layers of the output, with those that predict. */
export function layersOf(config: ModelConfig): number {
  return kindsOf(config).length + predictionsOf(config)
}

/** What each layer is. @throws MqError CONFIG_INVALID. */
export function kindsOf(config: ModelConfig): Kind[] {
  const list = config.find(listOf(word), 'layers_block_type')
  const pattern = config.find(word, 'hybrid_override_pattern')
  const words = pattern === undefined ? list : pattern.split('')
  if (words === undefined) throw config.invalid('neither hybrid_override_pattern nor layers_block_type says what the layers are')
  const layers = config.get(count, ...names.layers)
  if (words.length !== layers) throw config.invalid(`it names the kinds of ${words.length} layers, and has ${layers}`)
  return words.map((name) => {
    const kind = pattern === undefined ? listed[name] : (kinds as Readonly<Record<string, Kind>>)[name]
    if (kind === undefined) throw config.invalid(`a layer is of the kind ${JSON.stringify(name)}, which mq does not know`)
    return kind
  })
}

/** Rows of the embedding. */
export function vocabulary(config: ModelConfig): number {
  return paddedVocabulary(config, 8, 'backbone.embeddings.weight')
}

/** Sizes of the Mamba 2 layers. @throws MqError CONFIG_INVALID where they do not fit. */
export function stateSpaceOf(config: ModelConfig): Mamba2Dimensions {
  const heads = config.get(count, 'mamba_num_heads')
  const inner = heads * config.get(count, 'mamba_head_dim')
  const groups = config.get(count, 'n_groups')
  if (!Number.isInteger(inner / groups)) throw config.invalid('mamba_num_heads, mamba_head_dim and n_groups do not fit')
  return {
    hidden: config.get(size, 'hidden_size'),
    inner,
    state: config.get(size, 'ssm_state_size'),
    kernel: config.get(count, 'conv_kernel'),
    heads,
    groups,
  }
}

/** All tensors of a model. @param expertWidths of each layer, where they are not the same. @throws MqError CONFIG_INVALID. */
export function tensorsOf(config: ModelConfig, expertWidths?: readonly number[]): TensorMapping[] {
  const all = kindsOf(config)
  const dimensions = { ...dimensionsOf(config), headLength: config.get(count, 'head_dim', 'attention_head_dim') }
  const { hidden } = dimensions
  const moe = (experts: number, layer?: number): TensorMapping[] => {
    const width = expertWidths?.[layer ?? 0] ?? config.get(size, 'moe_intermediate_size')
    return experts > 0 ? expertTensors(config, experts, hidden, width) : []
  }
  const predicting = predictionsOf(config)
  const experts = hasExperts(config.fields)
    ? boundedExperts(config, all.filter((kind) => kind === 'moe').length + predicting, 'n_routed_experts')
    : 0
  const parts = {
    mamba: () => mamba2('mixer', stateSpaceOf(config), { convolutionBias: true }),
    attention: () => attentionTensors(dimensions),
    mlp: () => plainFeedForward('mixer', hidden, config.get(size, ...names.feedForward), { bias: false }),
    moe: (layer: number) => moe(experts, layer),
  }
  return [
    ...embeddingAndOutputTensors(
      config,
      { hidden, vocabulary: vocabulary(config) },
      { root: 'backbone.', embedding: 'embeddings', norm: 'norm_f' },
    ),
    ...blocks('model.layers', all.length, (layer) => [norm('norm', 'attn_norm', hidden), ...parts[all[layer] as Kind](layer)]),
    ...(predicting === 0 ? [] : predictionTensors(dimensions, all.length, moe(experts))),
  ]
}

function attentionTensors(dimensions: Dimensions): TensorMapping[] {
  return groupedAttention(dimensions, { bias: false, interleave: true, from: 'mixer' })
}

/** Experts of two matrices with a squared ReLU between, one that every token passes, and where they are latent a way in and out. */
function expertTensors(config: ModelConfig, experts: number, hidden: number, width: number): TensorMapping[] {
  const shared = config.get(size, 'moe_shared_expert_intermediate_size') * (config.find(countOrNone, 'n_shared_experts') ?? 1)
  const latent = config.find(size, 'moe_latent_size')
  const inner = latent ?? hidden
  const matrix = (name: string) => (expert: number) => `mixer.experts.${expert}.${name}.weight`
  return [
    tensor('mixer.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
    tensor('mixer.gate.e_score_correction_bias', 'exp_probs_b.bias', [experts]),
    ...stackedExperts(experts, [
      { from: matrix('down_proj'), to: 'ffn_down_exps.weight', shape: [inner, width] },
      { from: matrix('up_proj'), to: 'ffn_up_exps.weight', shape: [width, inner] },
    ]),
    ...linear('mixer.shared_experts.up_proj', 'ffn_up_shexp', [shared, hidden], { bias: false }),
    ...linear('mixer.shared_experts.down_proj', 'ffn_down_shexp', [hidden, shared], { bias: false }),
    ...(latent === undefined
      ? []
      : [
          ...linear('mixer.fc1_latent_proj', 'ffn_latent_down', [latent, hidden], { bias: false }),
          ...linear('mixer.fc2_latent_proj', 'ffn_latent_up', [hidden, latent], { bias: false }),
        ]),
  ]
}

/** The layer that predicts a further token: attention, then experts. */
function predictionTensors(dimensions: Dimensions, layer: number, experts: readonly TensorMapping[]): TensorMapping[] {
  const { hidden } = dimensions
  return within(`model.layers.${layer}`, `blk.${layer}`, [
    norm('enorm', 'nextn.enorm', hidden),
    norm('hnorm', 'nextn.hnorm', hidden),
    ...linear('eh_proj', 'nextn.eh_proj', [hidden, 2 * hidden], { bias: false }),
    norm('norm', 'attn_norm', hidden),
    ...attentionTensors(dimensions),
    norm('moe_norm', 'post_attention_norm', hidden),
    ...experts,
    norm('final_layernorm', 'nextn.shared_head_norm', hidden),
  ])
}
