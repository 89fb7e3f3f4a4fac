import { MqError } from '../../errors/index.js'

/**
 * Returns the index of the largest logit, the first of equals, as llama.cpp's greedy sampler does.
 * @throws MqError ACTIVATIONS_NOT_FINITE where one is NaN or +Infinity, or all are -Infinity; single tokens may be ruled out by -Infinity.
 */
export function largestLogit(logits: Float32Array): number {
  let most = Number.NEGATIVE_INFINITY
  let index = -1
  for (let token = 0; token < logits.length; token += 1) {
    const logit = logits[token] as number
    if (logit > most) {
      most = logit
      index = token
    } else if (Number.isNaN(logit)) {
      index = -1
      break
    }
  }
  if (index < 0 || most === Number.POSITIVE_INFINITY) throw MqError.of('ACTIVATIONS_NOT_FINITE', { tensor: 'output.weight' })
  return index
}

/** A token of the vocabulary and ln of its probability. */
export interface LogProbability {
  readonly token: number
  readonly logprob: number
}

/** Computes ln softmax of a token's logit, and of the `count` largest, in descending order. @param largest index of the largest logit. */
export function logProbabilities(
  logits: Float32Array,
  token: number,
  largest: number,
  count: number,
): LogProbability & { readonly top: readonly LogProbability[] } {
  const max = logits[largest] as number
  let sum = 0
  for (let index = 0; index < logits.length; index += 1) sum += Math.exp((logits[index] as number) - max)
  const logSum = max + Math.log(sum)
  const of = (index: number): LogProbability => ({ token: index, logprob: (logits[index] as number) - logSum })
  return { ...of(token), top: largestIndices(logits, count).map(of) }
}

function largestIndices(values: Float32Array, count: number): number[] {
  const indices: number[] = []
  if (count === 0) return indices
  for (let index = 0; index < values.length; index += 1) {
    const value = values[index] as number
    const last = indices.at(-1)
    if (indices.length === count && last !== undefined && !(value > (values[last] as number))) continue
    let place = indices.length
    while (place > 0 && value > (values[indices[place - 1] as number] as number)) place -= 1
    indices.splice(place, 0, index)
    if (indices.length > count) indices.pop()
  }
  return indices
}
