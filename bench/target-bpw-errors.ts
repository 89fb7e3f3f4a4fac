import { fileSource } from '../formats/byte-source.js'
import { type GgmlTypeName, ggmlBytes, ggmlType } from '../formats/ggml/types.js'
import { type OpenGguf, type OpenGgufTensor, openGguf } from '../formats/gguf/index.js'
import { type ImportanceMatrix, readImportanceMatrix } from '../formats/imatrix/index.js'
import type { Blueprint, BlueprintTensor } from '../src/model/blueprint.js'
import { typeOrFallback } from '../src/plan/allocate/tensor-types.js'
import { oracle } from './ggml-peer.js'
import type { WeighedTensor } from './target-bpw.js'

/** Types that the proposal tries. */
export const proposedTypes: readonly GgmlTypeName[] = [
  ...(['IQ1_S', 'IQ1_M', 'IQ2_XXS', 'IQ2_XS', 'IQ2_S', 'IQ3_XXS', 'IQ3_S', 'IQ4_XS', 'IQ4_NL', 'Q2_K', 'Q3_K', 'Q4_0'] as const),
  ...(['Q4_1', 'Q4_K', 'Q5_0', 'Q5_1', 'Q5_K', 'Q6_K', 'Q8_0', 'F16', 'BF16'] as const),
]

/** Rows of each matrix that are looked at. The proposal takes some 256 to 1024, which of matrices this small is nearly all. */
const sampledRows = 32

/**
 * Errors of the types of every tensor that may be quantized, by ggml's own encoders and decoders, as the proposal estimates them: of each
 * sampled row the squared error weighted by the mean square of the column's input, over the row's own weighted square; the mean over the
 * rows without the hundredth at either end; summed over all rows of all experts. Outlying inputs count up to a cap. Types under 3 bits are
 * tried on rows of ffn_down that are clipped at 4 standard deviations, and count more for attention.
 * @param reference a GGUF file in BF16. @param matrix an importance matrix of it. @param tried types to try.
 * Source: llama.cpp pull request 15550, for an importance matrix that holds no mean activations.
 */
export async function targetBpwErrors(
  { tensors }: Blueprint,
  reference: string,
  matrix: string,
  tried: readonly GgmlTypeName[] = proposedTypes,
): Promise<WeighedTensor[]> {
  const { entries } = await readEntries(matrix)
  const gguf = await openGguf(reference)
  try {
    const found: WeighedTensor[] = []
    for (const tensor of tensors.filter(({ keepF32 }) => !keepF32)) {
      const stored = gguf.tensors.find(({ name }) => name === tensor.name) as OpenGgufTensor
      const importance = entries.get(tensor.name)?.meanSquares
      found.push(weigh(tensor, stored.dimensions, await readBf16(gguf, stored), importance, tried))
    }
    return found
  } finally {
    await gguf.close()
  }
}

async function readEntries(path: string): Promise<ImportanceMatrix> {
  const source = await fileSource(path)
  try {
    return await readImportanceMatrix(source)
  } finally {
    await source.close()
  }
}

function weigh(
  tensor: BlueprintTensor,
  [columns = 1, rows = 1, matrices = 1]: readonly number[],
  values: Float32Array,
  importance: Float32Array | undefined,
  tried: readonly GgmlTypeName[],
): WeighedTensor {
  const { name } = tensor
  const elements = columns * rows * matrices
  const samples = Array.from({ length: matrices }, (_, matrix) => {
    const weights = importance?.subarray(importance.length === columns ? 0 : matrix * columns).subarray(0, columns)
    return sampleOf(values.subarray(matrix * rows * columns, (matrix + 1) * rows * columns), columns, weights, name)
  })
  const types = new Set(
    tried.filter((type) => importance !== undefined || !type.startsWith('IQ')).map((type) => typeOrFallback(type, tensor)),
  )
  const candidates = [...types].map((type) => {
    const bits = ggmlType(type).bitsPerWeight
    const attention = /attn_[qkov]/.test(name) ? 1 + 0.5 * 2 ** (3 - bits) : 1
    const error = samples.reduce((sum, sample) => sum + rows * errorOf(sample, type, columns), 0)
    return { type, bytes: ggmlBytes(type, elements), error: attention * error }
  })
  return { name, elements, candidates }
}

/** Rows of one matrix. */
interface Sample {
  readonly rows: Float32Array
  /** What types under 3 bits are tried on. */
  readonly clipped: Float32Array
  readonly weights: Float32Array | undefined
  /** The same, up to a cap. */
  readonly capped: Float32Array | undefined
  /** Weighted square of each row. */
  readonly norms: readonly number[]
}

function sampleOf(matrix: Float32Array, columns: number, weights: Float32Array | undefined, name: string): Sample {
  const count = matrix.length / columns
  const taken = Math.min(count, sampledRows)
  const rows = new Float32Array(taken * columns)
  for (let index = 0; index < taken; index++) {
    const row = Math.floor((index * count) / taken)
    rows.set(matrix.subarray(row * columns, (row + 1) * columns), index * columns)
  }
  const capped = weights && capOutliers(weights)
  const norms = Array.from({ length: taken }, (_, row) => weightedSquare(rows, row * columns, columns, capped))
  return { rows, clipped: name.includes('ffn_down') ? clipRows(rows, columns) : rows, weights, capped, norms }
}

function errorOf({ rows, clipped, weights, capped, norms }: Sample, type: GgmlTypeName, columns: number): number {
  const from = ggmlType(type).bitsPerWeight < 3 ? clipped : rows
  const read = oracle.dequantize(type, oracle.quantize(type, from, columns, weights), from.length)
  const differences = read.map((value, index) => value - (from[index] as number))
  const errors = norms.map((norm, row) => (norm > 1e-12 ? weightedSquare(differences, row * columns, columns, capped) / norm : 0))
  return trimmedMean(errors)
}

/** Without the hundredth of the values at either end, where there are a hundred. */
function trimmedMean(values: readonly number[]): number {
  const left = values.length < 100 ? 0 : Math.floor(values.length / 100)
  const kept = values.toSorted((a, b) => a - b).slice(left, values.length - left)
  return kept.reduce((sum, value) => sum + value, 0) / kept.length
}

function weightedSquare(values: Float32Array, start: number, length: number, weights: Float32Array | undefined): number {
  let sum = 0
  for (let index = 0; index < length; index++) {
    const value = values[start + index] as number
    sum += (weights?.[index] ?? 1) * value * value
  }
  return sum
}

/** Weights up to 4 robust standard deviations of their logarithms above the median. */
function capOutliers(weights: Float32Array): Float32Array {
  const logarithms = weights.filter((weight) => weight > 0).map(Math.log)
  if (logarithms.length < Math.max(8, weights.length / 2)) return weights
  const middle = upperMedian(logarithms)
  const deviation = upperMedian(logarithms.map((value) => Math.abs(value - middle)))
  if (deviation <= 1e-6 * Math.max(1, Math.abs(middle))) return weights
  const cap = Math.exp(middle + 4 * 1.4826 * deviation)
  return weights.map((weight) => Math.min(weight, cap))
}

function upperMedian(values: Float32Array): number {
  return values.toSorted()[Math.floor(values.length / 2)] as number
}

function clipRows(rows: Float32Array, columns: number): Float32Array {
  const clipped = rows.slice()
  for (let start = 0; start < rows.length; start += columns) {
    const row = rows.subarray(start, start + columns)
    const mean = row.reduce((sum, value) => sum + value, 0) / columns
    const limit = 4 * Math.sqrt(row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / columns)
    if (limit <= 1e-4) continue
    clipped.set(
      row.map((value) => Math.min(mean + limit, Math.max(mean - limit, value))),
      start,
    )
  }
  return clipped
}

async function readBf16(gguf: OpenGguf, { name, file, start, end, type }: OpenGgufTensor): Promise<Float32Array> {
  if (type !== 'BF16') throw new RangeError(`${name} is ${type}, not BF16`)
  const bytes = await gguf.sources[file]?.slice(start, end)
  const codes = new Uint16Array(Uint8Array.from(bytes ?? []).buffer)
  return new Float32Array(Uint32Array.from(codes, (code) => code * 65536).buffer)
}
