import type { GgmlTypeName } from '../../formats/ggml/types.js'
import type { Blueprint, BlueprintTensor, TensorRole } from '../blueprint.js'

interface RoleRule {
  /**
   * KL divergence that a relative error of 1 in one such matrix would add, if the divergence went on growing in proportion: compared
   * with each other only. Those of a block are for a model of one block: see `ruleOf`.
   */
  readonly weight: number
  /** The least type (by bits per weight) that a budget may choose. */
  readonly floor: GgmlTypeName
  /** What the matrix is to the model, as the beginning of a sentence. */
  readonly why: string
}

/**
 * How much each role matters, and what must not be crushed.
 *
 * A matrix adds noise to its layer's output in proportion to its own relative error, whatever its size: so the damage is relative error
 * times weight, summed over matrices, not over weights (the linearity of Malinovskii et al. 2024, arXiv:2411.17525), and small matrices
 * earn many bits. Stacked experts are one matrix: every token passes through some of them, and meets their mean error.
 * The weights come from dropping one role at a time to Q3_K and to Q2_K in both samples, on text of their own world and of another;
 * then from some twenty variations of the table on whole plans (all at 2.51 bits, seven at 3.5 as well), where routed experts proved
 * heavier, and attention lighter, than alone. They are near the best of these, rounded, the shared experts' set by judgement. Both held-out
 * texts took part in the choice, so that figures on them flatter it a little; two runs of one table differed by up to 15 %.
 */
const roleRules: Readonly<Record<TensorRole, RoleRule>> = {
  output: { weight: 6.5, floor: 'Q3_K', why: 'the output matrix, whose error reaches every logit' },
  embedding: { weight: 14, floor: 'IQ2_XXS', why: 'the embedding, which every layer reads' },
  norm: { weight: 1, floor: 'F16', why: 'a norm' },
  router: { weight: 1, floor: 'F16', why: 'the router, whose errors send tokens to the wrong experts' },
  'attention-q': { weight: 1.2, floor: 'IQ2_XXS', why: 'attention queries' },
  'attention-q-a': { weight: 1, floor: 'IQ2_XXS', why: 'the narrow way to the queries' },
  'attention-k': { weight: 1, floor: 'IQ2_XXS', why: 'attention keys' },
  'attention-v': { weight: 1, floor: 'IQ2_XXS', why: 'attention values' },
  'attention-qkv': { weight: 3, floor: 'IQ2_XXS', why: 'queries, keys and values in one' },
  'attention-kv-a': { weight: 2, floor: 'Q3_K', why: 'the narrow way to keys and values' },
  'attention-k-b': { weight: 0.4, floor: 'Q3_K', why: 'the way from the narrow state to the keys' },
  'attention-v-b': { weight: 0.4, floor: 'Q3_K', why: 'the way from the narrow state to the values' },
  'attention-output': { weight: 0.7, floor: 'IQ2_XXS', why: "attention's output" },
  'ffn-gate': { weight: 1.6, floor: 'IQ2_XXS', why: 'a dense gate' },
  'ffn-up': { weight: 1, floor: 'IQ2_XXS', why: 'a dense up-projection' },
  'ffn-down': { weight: 2.8, floor: 'IQ2_XXS', why: 'a dense down-projection, which writes straight into the residual stream' },
  'shared-expert-gate': { weight: 1, floor: 'IQ2_XXS', why: "the shared expert's gate, which every token passes" },
  'shared-expert-up': { weight: 0.8, floor: 'IQ2_XXS', why: "the shared expert's up-projection, which every token passes" },
  'shared-expert-down': { weight: 1.6, floor: 'IQ2_XXS', why: "the shared expert's down-projection, which every token passes" },
  'expert-gate': { weight: 1.6, floor: 'IQ1_S', why: "the routed experts' gates, the bulk of the model" },
  'expert-up': { weight: 1.1, floor: 'IQ1_S', why: "the routed experts' up-projections, the bulk of the model" },
  'expert-down': { weight: 2.6, floor: 'IQ1_S', why: "the routed experts' down-projections, the bulk of the model" },
  other: { weight: 1, floor: 'IQ2_XXS', why: 'a matrix of no known role' },
}

/** How much more the first block matters than one in the middle: all others build on what it writes. */
const firstBlock = 2

/** What planning has to know about one tensor. */
export interface TensorRule {
  /** KL divergence for each unit of relative error, up to a factor that is the same for the whole model. */
  readonly sensitivity: number
  readonly floor: GgmlTypeName
  readonly why: string
}

/**
 * The rule of a tensor in its model.
 * A block of a deep model writes a smaller part of the residual stream: it counts a share of 1 / layers. The embedding's noise is diluted
 * by what blocks add and carried on by what they read: between 1 / layers and 1, taken as 1 / sqrt(layers). Every logit is read off by the
 * output matrix alone, which is as heavy in any model; where there is none, the embedding stands in for it too.
 */
export function ruleOf({ role, layer }: BlueprintTensor, { layers, tensors }: Blueprint): TensorRule {
  const { weight, floor, why } = roleRules[role]
  if (layer !== undefined) return { sensitivity: (weight * (layer === 0 ? firstBlock : 1)) / layers, floor, why }
  if (role !== 'embedding') return { sensitivity: weight, floor, why }
  const sensitivity = weight / Math.sqrt(Math.max(1, layers))
  if (tensors.some((tensor) => tensor.role === 'output')) return { sensitivity, floor, why }
  const { output } = roleRules
  return { sensitivity: sensitivity + output.weight, floor: output.floor, why: 'the embedding, which is the output matrix too' }
}
