import { logSumExp, type StoredRow } from '../../../formats/logits/index.js'

const { fround } = Math

/** Tokens less likely than exp of this are left out of a divergence. */
const floor = -16

/** One position under two models; see LogitsComparison. */
export interface RowComparison {
  readonly negativeLogLikelihood: number
  readonly baseNegativeLogLikelihood: number
  readonly divergence: number
  readonly probabilityChange: number
  readonly sameTop: boolean
}

/**
 * Compares a model's logits at one position with those of the base. `target` is the next token of the text.
 * Source: log_softmax() with kl_divergence_result in tools/perplexity/perplexity.cpp of llama.cpp, whose single precision this keeps: the
 * smallest divergences are no more than its roundings.
 */
export function compareRows(logits: Float32Array, base: StoredRow, target: number): RowComparison {
  const { max, argmax, logSum } = logSumExp(logits)
  const { scale, minimum, codes } = base
  const normalizer = fround(max + logSum)
  const negativeLogLikelihood = fround(normalizer - (logits[target] as number))
  const baseNegativeLogLikelihood = -fround(fround(scale * (codes[target] as number)) + minimum)
  let divergence = 0
  let baseTop = -1
  let baseMax = 0
  for (let token = 0; token < logits.length; token += 1) {
    const log = fround(fround(scale * (codes[token] as number)) + minimum)
    if (token === 0 || log > baseMax) {
      baseMax = log
      baseTop = token
    }
    if (log > floor) {
      const probability = fround(Math.exp(log))
      divergence += fround(probability * fround(fround(log - (logits[token] as number)) + normalizer))
    }
  }
  const probability = fround(Math.exp(-negativeLogLikelihood))
  const baseProbability = fround(Math.exp(-baseNegativeLogLikelihood))
  return {
    negativeLogLikelihood,
    baseNegativeLogLikelihood,
    divergence,
    probabilityChange: fround(probability - baseProbability),
    sameTop: argmax === baseTop,
  }
}
