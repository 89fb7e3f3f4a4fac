import { openCodec } from '../formats/ggml/codec.js'
import type { Covariance } from '../formats/ggml/covariance.js'
import type { Effort } from '../formats/ggml/effort.js'
import { prepareFeedback } from '../formats/ggml/feedback.js'
import { feedbackLayout } from '../formats/ggml/feedback-forms.js'
import { type GgmlTypeName, ggmlTypes } from '../formats/ggml/types.js'
import { type SampleWeight, sampleCovariances, sampleWeights } from './activations.js'
import { oracle } from './ggml-peer.js'
import { lowRank } from './low-rank.js'
import { multiply } from './matrix.js'

/** How much of the covariance the codes are chosen with: so many factors and the diagonal, or all of it. */
export type Rank = number | 'full'

/** One type, chosen in one way, on all weights of one kind and one text. */
export interface FeedbackMeasurement {
  readonly type: GgmlTypeName
  readonly rank: Rank
  readonly damping: number
  readonly effort: Effort
  readonly kind: SampleWeight['kind'] | 'all'
  /** What the error is measured on; the covariance is that of kjv-calibration. */
  readonly text: string
  /** Sum of tr(E H E^T), the mean square errors of the outputs. */
  readonly error: number
  /** With ggml_quantize_chunk, its importance the diagonal of the same covariance. */
  readonly peerError: number
  readonly errorRatio: number
  /** Weights per second of CPU time, the encoder's search of scales included, one thread. */
  readonly weightsPerSecond: number
  readonly peerWeightsPerSecond: number
  readonly speedRatio: number
}

export interface FeedbackBenchOptions {
  readonly types?: readonly GgmlTypeName[]
  readonly ranks?: readonly Rank[]
  readonly dampings?: readonly number[]
  readonly efforts?: readonly Effort[]
  /** Contexts of 512 tokens to take covariances from, in each text. */
  readonly contexts?: number
  readonly say?: (line: string) => void
}

const seen = 'kjv-calibration'
const texts = [seen, 'kjv-heldout', 'jargon-heldout']
const kinds = ['attention', 'gate/up', 'down', 'all'] as const

/**
 * Holds codes chosen with error feedback against ggml's, on the weights and the real inputs of samples/llama-kjv.
 * @throws where the optional packages with ggml and llama.cpp are not installed.
 */
export async function* benchFeedback(options: FeedbackBenchOptions = {}): AsyncGenerator<FeedbackMeasurement> {
  const { ranks = [0, 16, 32, 64, 128, 'full'], dampings = [0.2], efforts = ['default'], contexts = 16 } = options
  const types = options.types ?? ggmlTypes.map(({ name }) => name).filter((name) => feedbackLayout(name) !== undefined)
  const codec = await openCodec()
  const weights = await sampleWeights()
  const covariances = new Map<string, Map<string, Float64Array>>()
  for (const text of texts) {
    options.say?.(`reads ${512 * contexts} tokens of ${text}`)
    covariances.set(text, await sampleCovariances(text, contexts))
  }
  const covariance = (text: string, input: string): Float64Array => covariances.get(text)?.get(input) as Float64Array
  const reduced = remember((rank: Rank, input: string): Covariance => {
    const full = covariance(seen, input)
    return rank === 'full' ? { full } : lowRank(full, rank)
  })
  const factor = remember((rank: Rank, input: string, damping: number) => prepareFeedback(reduced(rank, input), damping))

  for (const type of types) {
    const theirs = new Map(weights.map((weight) => [weight.name, newTensorStatistics()]))
    const peer = (weight: SampleWeight): TensorStatistics => theirs.get(weight.name) as TensorStatistics
    const errorsOf = (weight: SampleWeight, bytes: Uint8Array): number[] => {
      const stored = oracle.dequantize(type, bytes, weight.values.length)
      return texts.map((text) => outputError(weight, stored, covariance(text, weight.input)))
    }
    for (const weight of weights) peer(weight).errors = errorsOf(weight, runPeer(type, weight, covariance(seen, weight.input)))
    for (const rank of ranks) {
      for (const damping of dampings) {
        for (const effort of efforts) {
          const ours = new Map(weights.map((weight) => [weight.name, newTensorStatistics()]))
          for (const weight of weights) {
            const prepared = factor(rank, weight.input, damping)
            const tally = ours.get(weight.name) as TensorStatistics
            const run = (): Uint8Array => codec.quantizeWithFeedback(type, weight.values, weight.rowLength, prepared, { effort })
            tally.errors = errorsOf(weight, run())
            for (let round = 0; round < 2; round++) {
              tally.seconds += cpuSeconds(run)
              peer(weight).seconds += cpuSeconds(() => runPeer(type, weight, covariance(seen, weight.input)))
              tally.weights += weight.values.length
              peer(weight).weights += weight.values.length
            }
          }
          for (const kind of kinds) {
            const chosen = weights.filter((weight) => kind === 'all' || weight.kind === kind).map(({ name }) => name)
            const [a, b] = [sum(chosen, ours), sum(chosen, theirs)]
            for (const [index, text] of texts.entries()) {
              const [error, peerError] = [a.errors[index] ?? 0, b.errors[index] ?? 0]
              const [weightsPerSecond, peerWeightsPerSecond] = [a.weights / a.seconds, b.weights / b.seconds]
              const errorRatio = error / peerError
              const speedRatio = weightsPerSecond / peerWeightsPerSecond
              const figures = { error, peerError, errorRatio, weightsPerSecond, peerWeightsPerSecond, speedRatio }
              yield { type, rank, damping, effort, kind, text, ...figures }
            }
          }
        }
      }
    }
  }
}

interface TensorStatistics {
  errors: number[]
  seconds: number
  weights: number
}

function newTensorStatistics(): TensorStatistics {
  return { errors: [], seconds: 0, weights: 0 }
}

function sum(names: readonly string[], tallies: ReadonlyMap<string, TensorStatistics>): TensorStatistics {
  const total = newTensorStatistics()
  for (const name of names) {
    const { errors, seconds, weights } = tallies.get(name) as TensorStatistics
    total.errors = errors.map((error, i) => error + (total.errors[i] ?? 0))
    total.seconds += seconds
    total.weights += weights
  }
  return total
}

function runPeer(type: GgmlTypeName, { values, rowLength }: SampleWeight, covariance: Float64Array): Uint8Array {
  const importance = Float32Array.from({ length: rowLength }, (_, i) => covariance[i * (rowLength + 1)] as number)
  return oracle.quantize(type, values, rowLength, importance)
}

/** tr(E H E^T). */
function outputError({ values, rowLength }: SampleWeight, stored: Float32Array, h: Float64Array): number {
  const errors = Float64Array.from(values, (value, i) => value - (stored[i] as number))
  const products = multiply(errors, h, values.length / rowLength, rowLength, rowLength)
  return products.reduce((total, product, i) => total + product * (errors[i] as number), 0)
}

function cpuSeconds(work: () => void): number {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1e6
}

/** Calls once for the same arguments. */
function remember<Arguments extends readonly (string | number)[], Result>(
  work: (...parameters: Arguments) => Result,
): (...parameters: Arguments) => Result {
  const known = new Map<string, Result>()
  return (...parameters) => {
    const key = parameters.join(' ')
    const found = known.get(key) ?? work(...parameters)
    known.set(key, found)
    return found
  }
}
