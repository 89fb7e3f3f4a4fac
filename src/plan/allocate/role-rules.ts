import type { GgmlTypeName } from '../../../formats/ggml/types.js'
import { embeddingWeights } from '../../covariance/index.js'
import type { Blueprint, BlueprintTensor, TensorRole } from '../../model/index.js'
import { expectedShares, type ResidualShare } from './residual-share.js'

interface RoleRule {
  /**
   * KL divergence for each unit of relative error of such a matrix, extrapolated linearly, in a layer whose residual stream share is 1. Only
   * ratios of weights matter.
   */
  readonly weight: number
  /** Lowest type, by bits per weight, that a budget may choose. */
  readonly floor: GgmlTypeName
  /** What the matrix is, as the beginning of a sentence. */
  readonly why: string
}

/**
 * Sensitivity weight and type floor of each role.
 *
 * The noise that a matrix adds to its layer's output is proportional to its relative error, whatever its size. So the expected KL divergence is
 * the sum of weight times relative error over matrices, not over weights (linearity: Malinovskii et al. 2024, arXiv:2411.17525), and small
 * matrices get many bits. Stacked experts count as one matrix: every token is routed to some of them, with their mean error.
 * The weights were measured on samples/ (four layers): everything in Q2_K, one tensor at a time restored to full precision; the decrease of KL
 * divergence is divided by the tensor's relative error and by the square root of its residual stream share (residual-share.ts), and averaged over
 * layers and models. In deeper models they are multiplied by `deepRatios`. See docs/experiments.md.
 */
export const roleRules: Readonly<Record<TensorRole, RoleRule>> = {
  output: { weight: embeddingWeights.output, floor: 'Q3_K', why: 'output projection (lm_head), whose error reaches every logit' },
  embedding: { weight: embeddingWeights.input, floor: 'IQ2_XXS', why: 'token embedding, which every layer reads' },
  norm: { weight: 0.1, floor: 'F16', why: 'normalization weights' },
  router: { weight: 0.1, floor: 'F16', why: 'expert router, whose errors send tokens to the wrong experts' },
  'attention-q': { weight: 0.1, floor: 'IQ2_XXS', why: 'attention query projection' },
  'attention-q-a': { weight: 0.04, floor: 'IQ2_XXS', why: 'query down-projection of latent attention (q_a)' },
  'attention-k': { weight: 0.12, floor: 'IQ2_XXS', why: 'attention key projection' },
  'attention-v': { weight: 0.07, floor: 'IQ2_XXS', why: 'attention value projection' },
  'attention-qkv': { weight: 0.3, floor: 'IQ2_XXS', why: 'fused query, key and value projection' },
  'attention-kv-a': { weight: 0.12, floor: 'Q3_K', why: 'key-value down-projection of latent attention (kv_a)' },
  'attention-k-b': { weight: 0.04, floor: 'Q3_K', why: 'key up-projection of latent attention (k_b)' },
  'attention-v-b': { weight: 0.05, floor: 'Q3_K', why: 'value up-projection of latent attention (v_b)' },
  'attention-output': { weight: 0.06, floor: 'IQ2_XXS', why: 'attention output projection' },
  'ffn-gate': { weight: 0.13, floor: 'IQ2_XXS', why: 'feed-forward gate projection' },
  'ffn-up': { weight: 0.06, floor: 'IQ2_XXS', why: 'feed-forward up-projection' },
  'ffn-down': { weight: 0.18, floor: 'IQ2_XXS', why: 'feed-forward down-projection, which writes to the residual stream' },
  'shared-expert-gate': {
    weight: 0.05,
    floor: 'IQ2_XXS',
    why: 'shared expert gate projection, which every token passes through',
  },
  'shared-expert-up': { weight: 0.03, floor: 'IQ2_XXS', why: 'shared expert up-projection, which every token passes through' },
  'shared-expert-down': {
    weight: 0.07,
    floor: 'IQ2_XXS',
    why: 'shared expert down-projection, which every token passes through',
  },
  'expert-gate': { weight: 0.05, floor: 'IQ1_S', why: 'gate projections of the routed experts, most of the weights' },
  'expert-up': { weight: 0.03, floor: 'IQ1_S', why: 'up-projections of the routed experts, most of the weights' },
  'expert-down': { weight: 0.08, floor: 'IQ1_S', why: 'down-projections of the routed experts, most of the weights' },
  // State-space matrices, convolutions, n-gram tables: few weights, and sensitive to low bit widths.
  other: { weight: 0.1, floor: 'Q8_0', why: 'matrix of unknown role, kept at Q8_0 or above' },
}

/** Sensitivity and type floor of one tensor. */
export interface TensorRule {
  /** KL divergence for each unit of relative error, up to a factor that is the same for the whole model. */
  readonly sensitivity: number
  readonly floor: GgmlTypeName
  readonly why: string
}

/** The rule of each tensor. */
export type RuleOf = (tensor: BlueprintTensor) => TensorRule

/** Lower limit of the residual stream share: a layer that adds little may still matter. */
const minShare = 0.01

/**
 * In a deep model the noise of one layer counts for less relative to that of the embedding and the output projection, by a different factor for
 * each role. These are factors of SmolLM2 (30 layers), measured with one role at a time quantized, shrunk slightly towards the mean of all
 * roles. Between 4 and 30 layers, factors are interpolated geometrically over the logarithm of the depth. They rest on one trained network:
 * docs/experiments.md.
 */
const deepRatios: Partial<Record<TensorRole, number>> = {
  'attention-q': 0.22,
  'attention-k': 0.41,
  'attention-v': 1.02,
  'attention-output': 0.56,
  'ffn-gate': 0.38,
  'ffn-up': 0.74,
  'ffn-down': 0.32,
}
/** Geometric mean of the above, for roles that SmolLM2 does not have. */
const deepRatioOfOthers = 0.47
const shallow = 4
const deep = 30

/**
 * Type floor of a tied embedding. It is a larger part of its model than a separate output matrix, so that at 2.5 bits IQ3_XXS is better than
 * IQ3_S; in lower types the KL divergence grows faster than its error. See docs/experiments.md.
 */
const tiedFloor: GgmlTypeName = 'IQ3_XXS'

/**
 * The rules of a model's tensors.
 * The noise of a layer is weighted by the square root of its residual stream share: measured sensitivities decrease less than in proportion to
 * the share. The sensitivity of a tied embedding is the sum of those of its two uses.
 * @param shareOf by default the shares expected for a model of this depth.
 */
export function rulesOf(blueprint: Blueprint, shareOf: ResidualShare = expectedShares(blueprint)): RuleOf {
  const { output } = roleRules
  const isTied = blueprint.tensors.every(({ role }) => role !== 'output')
  const depth = Math.log(Math.max(shallow, Math.min(deep, blueprint.layers)) / shallow) / Math.log(deep / shallow)
  return (tensor) => {
    const { weight, floor, why } = roleRules[tensor.role]
    if (tensor.layer !== undefined) {
      const ratio = (deepRatios[tensor.role] ?? deepRatioOfOthers) ** depth
      const sensitivity = weight * ratio * Math.sqrt(Math.max(minShare, shareOf(tensor)))
      return { sensitivity, floor, why }
    }
    if (tensor.role !== 'embedding' || !isTied) return { sensitivity: weight, floor, why }
    return {
      sensitivity: weight + output.weight,
      floor: tiedFloor,
      why: 'token embedding, which is also the output projection',
    }
  }
}
