/**
 * What a dimension of a tensor runs over. E: the residual stream; F: a feed-forward block; X: an expert; S: shared experts; H: all query
 * heads; V: their outputs; N: heads, one value each; Q: queries, keys and values, one after the other; EE, EEE, FF, XX, SS: two or three of
 * these, one after the other; -: anything else, which keeps its size.
 */
export type Axis = '-' | 'E' | 'F' | 'X' | 'S' | 'H' | 'V' | 'N' | 'Q' | 'EE' | 'EEE' | 'FF' | 'XX' | 'SS'

/** Dimensions of weights, row-major, by the middle of their GGUF names. Those of a bias are the same without the last. */
const weights: Readonly<Record<string, string>> = {
  token_embd: '- E',
  output: '- E',
  'cls.output': '- E',
  output_norm: 'E',
  token_embd_norm: 'E',
  position_embd: '- E',
  rope_freqs: '-',
  rope_factors_long: '-',
  rope_factors_short: '-',

  attn_norm: 'E',
  attn_norm_2: 'E',
  attn_q: 'H E',
  attn_k: '- E',
  attn_v: '- E',
  attn_qkv: 'Q E',
  attn_gate: '- E',
  attn_output: 'E V',
  attn_output_norm: 'E',
  attn_q_norm: '-',
  attn_k_norm: '-',
  attn_sinks: 'N',
  attn_q_a: '- E',
  attn_q_a_norm: '-',
  attn_q_b: '- -',
  attn_kv_a_mqa: '- E',
  attn_kv_a_norm: '-',
  attn_kv_b: '- -',
  attn_k_b: '- - -',
  attn_v_b: '- - -',
  post_attention_norm: 'E',
  attn_post_norm: 'E',
  'indexer.attn_k': '- E',
  'indexer.attn_q_b': '- -',
  'indexer.k_norm': '-',
  'indexer.proj': '- E',
  'indexer.q_proj': '- E',
  'indexer.k_proj': '- E',
  'indexer.q_norm': '-',

  ffn_norm: 'E',
  ffn_norm_exps: 'E',
  ffn_gate: 'F E',
  ffn_up: 'F E',
  ffn_down: 'E F',
  ffn_gate_inp: '- E',
  'ffn_gate_inp.scale': 'E',
  exp_probs_b: '-',
  ffn_gate_exps: '- X E',
  ffn_up_exps: '- X E',
  ffn_gate_up_exps: '- XX E',
  ffn_down_exps: '- E X',
  'ffn_down_exps.scale': '-',
  ffn_gate_chexps: '- - E',
  ffn_up_chexps: '- - E',
  ffn_down_chexps: '- E -',
  ffn_latent_down: '- E',
  ffn_latent_up: 'E -',
  ffn_gate_inp_shexp: 'E',
  ffn_gate_shexp: 'S E',
  ffn_up_shexp: 'S E',
  ffn_down_shexp: 'E S',
  post_ffw_norm: 'E',
  post_ffw_norm_1: 'E',
  post_ffw_norm_2: 'E',
  pre_ffw_norm_2: 'E',
  ffn_post_norm: 'E',

  ssm_in: '- E',
  ssm_ba: '- E',
  ssm_alpha: '- E',
  ssm_beta: '- E',
  ssm_out: 'E -',
  ssm_conv1d: '- -',
  ssm_a: '- -',
  ssm_d: '- -',
  ssm_dt: '- -',
  ssm_x: '- -',
  ssm_conv1d_q: '- -',
  ssm_conv1d_k: '- -',
  ssm_conv1d_v: '- -',
  ssm_f_a: '- E',
  ssm_f_b: '- -',
  ssm_g_a: '- E',
  ssm_g_b: '- -',
  ssm_norm: '- -',
  ssm_dt_norm: '-',
  ssm_b_norm: '-',
  ssm_c_norm: '-',

  'shortconv.conv': 'E -',
  'shortconv.in_proj': 'EEE E',
  'shortconv.out_proj': 'E E',

  inp_gate: '- E',
  proj: 'E -',
  post_norm: 'E',
  layer_output_norm: 'E',
  layer_output_scale: '-',
  per_layer_token_embd: '- -',
  per_layer_model_proj: '- E',
  per_layer_proj_norm: '-',

  'nextn.eh_proj': 'E EE',
  'nextn.embed_tokens': '- E',
  'nextn.enorm': 'E',
  'nextn.hnorm': 'E',
  'nextn.shared_head_head': '- E',
  'nextn.shared_head_norm': 'E',
}

const namePattern = /^(?:blk\.\d+\.)?(.+?)(?:\.(weight|bias))?$/

/** What of a block decides how its tensors are read. */
export interface BlockTraits {
  /** Its dense feed-forward width, to tell a fused matrix. */
  readonly feedForward: number
  /** The width of its shared experts, for the same. */
  readonly shared: number
  /** All its query heads together, to tell a norm over all of them from one over each. */
  readonly queries: number
  /** Whether its experts read a latent vector instead of the residual stream. */
  readonly latentExperts: boolean
}

/** Vectors of one dimension whose tables above have more, as llama.cpp writes some of them. */
const keepsItsSize = (axes: readonly Axis[]): boolean => axes.every((axis) => axis === '-')

/**
 * What the dimensions of a tensor run over, row-major; undefined where it is not known. Gate and up are one matrix in ffn_up where it has
 * twice the rows of the feed-forward width; those of shared experts are in ffn_up_shexp.
 */
export function axesOf(name: string, shape: readonly number[], block: BlockTraits): readonly Axis[] | undefined {
  const [, middle = '', suffix] = namePattern.exec(name) ?? []
  if (!Object.hasOwn(weights, middle)) return undefined
  const known = (weights[middle] as string).split(' ') as Axis[]
  const axes = suffix === 'bias' && known.length > 1 ? known.slice(0, -1) : known
  if (middle === 'attn_q_norm' && shape.length === 1 && shape[0] === block.queries) return ['H']
  if (keepsItsSize(axes)) return shape.map(() => '-')
  // A vector may be written as a matrix of one row.
  if (axes.length === 1 && shape.length === 2) return ['-', ...axes]
  if (axes.length !== shape.length) return undefined
  if (middle === 'ffn_up' && shape[0] === 2 * block.feedForward) return axes.with(0, 'FF')
  if (middle === 'ffn_up_shexp' && shape[0] === 2 * block.shared) return axes.with(0, 'SS')
  return block.latentExperts && middle.endsWith('_exps') ? axes.map((axis) => (axis === 'E' ? '-' : axis)) : axes
}

/** Whether a vector along the residual stream is the weight of a norm, to which the width is a divisor. */
export function isNorm(name: string): boolean {
  return /(?:_norm(?:_\d|_exps)?|\.enorm|\.hnorm)(?:\.weight)?$/.test(name)
}

/** Whether a tensor along the residual stream writes into it: a matrix with rows along it, its bias, or an embedding. */
export function writesStream(name: string, axes: readonly Axis[]): boolean {
  if (/(?:^|\.)(?:token_embd|embed_tokens)\.weight$/.test(name)) return true
  if (isNorm(name) || name.endsWith('.shortconv.conv.weight')) return false
  return name.endsWith('.bias') ? axes.at(-1) === 'E' : axes.length > 1 && axes.at(-2) === 'E'
}
