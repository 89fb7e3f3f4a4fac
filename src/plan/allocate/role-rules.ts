import type { GgmlTypeName } from '../../../formats/ggml/types.js'
import { embeddingWeights } from '../../covariance/index.js'
import type { Blueprint, BlueprintTensor, TensorRole } from '../../model/index.js'
import { expectedShares, type ResidualShare } from './residual-share.js'

interface RoleRule {
  /**
   * KL divergence that a relative error of 1 in one such matrix would add, if the divergence went on growing in proportion and if its block
   * had written all of the residual stream: compared with each other only.
   */
  readonly weight: number
  /** The least type (by bits per weight) that a budget may choose. */
  readonly floor: GgmlTypeName
  /** What the matrix does, as the beginning of a sentence. */
  readonly why: string
}

/**
 * How much each role matters, and what must not be crushed.
 *
 * A matrix adds noise to its layer's output in proportion to its own relative error, whatever its size: so the damage is relative error
 * times weight, summed over matrices, not over weights (the linearity of Malinovskii et al. 2024, arXiv:2411.17525), and small matrices
 * earn many bits. Stacked experts are one matrix: every token passes through some of them, and meets their mean error.
 * The weights are what probes found, over the tensor's relative error and the root of its share of the residual stream (residual-share.ts), by
 * and large over blocks and models: samples/, of four blocks, all in Q2_K, one tensor at a time given back its full precision. In a deep model
 * they are multiplied by `deepRatios`. See docs/experiments.md.
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
  // State-space matrices, convolutions, n-gram tables: few weights, and ruined by few bits.
  other: { weight: 0.1, floor: 'Q8_0', why: 'matrix of unknown role, kept at Q8_0 or above' },
}

/** What planning has to know about one tensor. */
export interface TensorRule {
  /** KL divergence for each unit of relative error, up to a factor that is the same for the whole model. */
  readonly sensitivity: number
  readonly floor: GgmlTypeName
  readonly why: string
}

/** Says of a tensor how much it matters. */
export type RuleOf = (tensor: BlueprintTensor) => TensorRule

/** A block that writes next to nothing may still steer the others. */
const minShare = 0.01

/**
 * In a deep model one block's noise counts for less beside that of the embedding and the output projection, and not by the same factor for
 * each role: about what SmolLM2, of 30 blocks, has in place of 1, measured with one role at a time quantized and drawn a little to the
 * mean of all roles. Between 4 blocks and 30, factors are interpolated geometrically over the logarithm of the depth. One trained network
 * is all that this rests on: docs/experiments.md.
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
/** The geometric mean of the others, for roles that SmolLM2 does not have. */
const deepRatioOfOthers = 0.47
const shallow = 4
const deep = 30

/**
 * The least type of an embedding that is the output projection too. It is a larger part of its model than an output matrix beside an
 * embedding, so that at 2.5 bits IQ3_XXS is better than IQ3_S; below that its damage grows faster than its error. See docs/experiments.md.
 */
const tiedFloor: GgmlTypeName = 'IQ3_XXS'

/**
 * The rules of a model's tensors.
 * A block's noise counts by the share of the residual stream that the block has written: that is how loud it is where the next one reads. Probes
 * fall off less than in proportion, by about the root.
 * Every logit is read off by the output matrix; where there is none, the embedding stands in for it too, and both its uses add up.
 * @param shareOf by default what a model of this depth may be expected to have.
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
