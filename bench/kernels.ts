import { openCodec } from '../formats/ggml/codec.js'
import type { Effort } from '../formats/ggml/effort.js'
import { type GgmlTypeName, ggmlType } from '../formats/ggml/types.js'
import { benchData, benchImportance, type DataName, type ImportanceName, samplePath } from './data.js'
import { oracle } from './ggml-peer.js'

/** One type, on one kind of data, with one kind of importance. */
export interface KernelMeasurement {
  readonly type: GgmlTypeName
  readonly data: DataName
  readonly importance: ImportanceName
  /** How hard our encoder searches; ggml has one way. */
  readonly effort: Effort
  /** Weights per second of CPU time, one thread. */
  readonly weightsPerSecond: number
  readonly peerWeightsPerSecond: number
  /** weightsPerSecond / peerWeightsPerSecond. */
  readonly speedRatio: number
  /** Sum of importance * (x - x')^2, x' as ggml reads the blocks. */
  readonly error: number
  readonly peerError: number
  /** error / peerError: below 1 is better than ggml. */
  readonly errorRatio: number
  /** The same ratio with the weights that ggml's encoders minimise: importance * sqrt(sigma2 + x^2). */
  readonly conventionalErrorRatio: number
}

export interface KernelBenchOptions {
  /** By default every type that our kernels and ggml both write. */
  readonly types?: readonly GgmlTypeName[]
  readonly data?: readonly DataName[]
  readonly importances?: readonly ImportanceName[]
  /** By default `default` alone. */
  readonly efforts?: readonly Effort[]
  readonly rows?: number
  readonly rowLength?: number
  /** Timed rounds, ours and ggml's in turn; the sum counts. */
  readonly rounds?: number
  /** Another build of the kernels than dist's. */
  readonly wasm?: Uint8Array
}

/** Types that leave nothing to search: the bytes are ggml's, and whatever the effort the same. */
const plainTypes = ['F16', 'BF16', 'Q8_0', 'TQ1_0', 'TQ2_0', 'MXFP4', 'NVFP4', 'Q1_0', 'Q2_0'] as const

const allTypes = [
  ...(['Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q2_K', 'Q3_K', 'Q4_K', 'Q5_K', 'Q6_K', 'IQ4_NL', 'IQ4_XS'] as const),
  ...(['IQ1_S', 'IQ1_M', 'IQ2_XXS', 'IQ2_XS', 'IQ2_S', 'IQ3_XXS', 'IQ3_S'] as const),
  ...plainTypes,
]

/**
 * Holds the quantization kernels against ggml_quantize_chunk of the embedded library: same data, same importance, in turn in one process.
 * @throws where the optional package with ggml is not installed.
 */
export async function* benchKernels(options: KernelBenchOptions = {}): AsyncGenerator<KernelMeasurement> {
  const { rows = 128, rowLength = 1024, rounds = 4 } = options
  const codec = await openCodec(options.wasm)
  const length = rows * rowLength
  const types = options.types ?? allTypes.filter((type) => codec.canQuantize(type))
  for (const type of types) {
    for (const data of options.data ?? (['gaussian', 'student-t4', 'sample'] as const)) {
      const values = await benchData(data, length, samplePath())
      for (const importance of options.importances ?? (['none', 'lognormal', 'mean-square'] as const)) {
        const weights = benchImportance(importance, rowLength)
        const plain = plainTypes.some((name) => name === type)
        // Those are done so soon that once could not be timed.
        const repeats = plain ? 16 : 1
        for (const effort of plain ? (['default'] as const) : (options.efforts ?? (['default'] as const))) {
          const ours = (): Uint8Array => codec.quantize(type, values, rowLength, weights, effort)
          const theirs = (): Uint8Array => oracle.quantize(type, values, rowLength, weights)
          // What is not timed: compiling, which goes on in the background for a while, and preparing tables.
          const blocks = warmUp(ours)
          const peerBlocks = theirs()
          let seconds = 0
          let peerSeconds = 0
          for (let round = 0; round < rounds; round++) {
            seconds += cpuSeconds(ours, repeats)
            peerSeconds += cpuSeconds(theirs, repeats)
          }
          const errors = weightedErrors(type, values, oracle.dequantize(type, blocks, length), rowLength, weights)
          const peerErrors = weightedErrors(type, values, oracle.dequantize(type, peerBlocks, length), rowLength, weights)
          yield {
            type,
            data,
            importance,
            effort,
            weightsPerSecond: (rounds * repeats * length) / seconds,
            peerWeightsPerSecond: (rounds * repeats * length) / peerSeconds,
            speedRatio: peerSeconds / seconds,
            error: errors.plain,
            peerError: peerErrors.plain,
            errorRatio: ratio(errors.plain, peerErrors.plain),
            conventionalErrorRatio: ratio(errors.conventional, peerErrors.conventional),
          }
        }
      }
    }
  }
}

/** The same work for a tenth of a second; the first result. */
function warmUp<T>(work: () => T): T {
  const start = performance.now()
  const result = work()
  while (performance.now() - start < 100) work()
  return result
}

/** a / b; 1 where neither has any error. */
function ratio(a: number, b: number): number {
  return a === b ? 1 : a / b
}

function cpuSeconds(work: () => void, repeats: number): number {
  const before = process.cpuUsage()
  for (let i = 0; i < repeats; i++) work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1e6
}

/**
 * Sums of w (x - y)^2: with w = importance, and with ggml's w = importance * sqrt(sigma2 + x^2), sigma2 as in ggml-quants.c: a multiple
 * of the mean square of 256 values (K and IQ types), of 32 (IQ4_NL) or of the row (the legacy types). Q6_K: w = importance.
 */
export function weightedErrors(
  type: GgmlTypeName,
  values: Float32Array,
  approximations: Float32Array,
  rowLength: number,
  importance?: Float32Array,
): { plain: number; conventional: number } {
  const { blockSize } = ggmlType(type)
  const legacy = blockSize === 32 && type !== 'IQ4_NL'
  const factor = legacy || type === 'Q2_K' || type === 'IQ2_XXS' || type === 'IQ2_XS' ? 1 : 2
  const run = legacy ? rowLength : blockSize
  let plain = 0
  let conventional = 0
  for (let start = 0; start < values.length; start += run) {
    let squares = 0
    for (let i = start; i < start + run; i++) squares += (values[i] ?? Number.NaN) ** 2
    const sigma2 = (factor * squares) / run
    for (let i = start; i < start + run; i++) {
      const x = values[i] ?? Number.NaN
      const error = (importance?.[i % rowLength] ?? 1) * (x - (approximations[i] ?? Number.NaN)) ** 2
      plain += error
      conventional += type === 'Q6_K' ? error : error * Math.sqrt(sigma2 + x * x)
    }
  }
  return { plain, conventional }
}
