import type { ValueRule } from './spec.js'

/** Norms of Qwen3-Next and its kin, but that of the linear attention, multiply by 1 + weight; decays are logarithms of 1 to 16. */
export const gatedDelta: readonly ValueRule[] = [
  [/linear_attn\.norm\.weight$/, 1, 0.1],
  [/norm\.weight$|pre_fc_norm_\w+\.weight$/, 0, 0.1],
  [/A_log$/, 1.5, 0.5],
  [/visual/, 0, 0.1],
]

/** Of norms that multiply by 1 + weight. */
export const normsAroundZero: readonly ValueRule[] = [[/norm\.weight$/, 0, 0.1]]

/** Of linear attention with a decay for each channel: logarithms of decays, steps around softplus^-1 of a tenth, short convolutions. */
export const channelDecays: readonly ValueRule[] = [
  [/A_log$/, 1.2, 0.5],
  [/dt_bias$/, -2, 0.5],
  [/conv1d\.weight$/, 0, 0.4],
]
