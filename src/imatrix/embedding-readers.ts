import { fileSource } from '../../formats/byte-source.js'
import { openCodec } from '../../formats/ggml/codec.js'
import type { Covariance } from '../../formats/ggml/feedback.js'
import { nystrom, randomSigns } from '../../formats/imatrix/index.js'
import type { Blueprint, BlueprintTensor, TensorRole } from '../blueprint.js'
import { evaluateRows, type FileRange, type ReadRange, type Recipe, rowCount, rowLength } from '../recipe/index.js'

/** The embedding and what the first block reads it with. */
export interface EmbeddingReaders {
  readonly embedding: string
  readonly files: readonly string[]
  /** A vector: what each column is multiplied by before it is read. */
  readonly norm: BlueprintTensor
  readonly readers: readonly BlueprintTensor[]
}

/** Embeddings of up to so many columns keep every product of two of them. */
const wholeColumns = 1024
/** Of wider ones, so many directions, from a sketch of thrice as many. */
const rank = 128
const seed = 1
const rowsAtOnce = 64

const queriesInOne: readonly TensorRole[] = ['attention-q', 'attention-k', 'attention-v', 'attention-qkv']
const queriesInTwo: readonly TensorRole[] = ['attention-q-a', 'attention-kv-a']

/** undefined where the embedding is the output matrix too, or its first reader is not attention behind a norm. */
export function embeddingReaders({ tensors, files }: Pick<Blueprint, 'tensors' | 'files'>): EmbeddingReaders | undefined {
  const embedding = tensors.find(({ role }) => role === 'embedding')
  const norm = tensors.find(({ name }) => name === 'blk.0.attn_norm.weight')
  if (embedding === undefined || norm === undefined || tensors.every(({ role }) => role !== 'output')) return undefined
  const first = tensors.filter(({ layer, name }) => layer === 0 && name.endsWith('.weight'))
  const roles = first.some(({ role }) => role === 'attention-q-a') ? queriesInTwo : queriesInOne
  const columns = rowLength(embedding)
  const readers = first.filter((tensor) => roles.includes(tensor.role) && rowLength(tensor) === columns)
  if (readers.length === 0 || rowLength(norm) !== columns || columns % 32 !== 0) return undefined
  return { embedding: embedding.name, files, norm, readers }
}

/**
 * How errors of the embedding's columns go together in what the first block makes of them, as a covariance of inputs would say it of another
 * weight: sum over the readers of (W D)^T W D, D the norm's diagonal, each reader counting alike, with a mean of 1 on the diagonal.
 * What the first block writes is much louder than the embedding itself, so that this is nearly all that becomes of it.
 * @returns whole up to 1024 columns, else diagonal and 128 factors.
 */
export async function embeddingCovariance({ files, norm, readers }: EmbeddingReaders): Promise<Covariance> {
  const columns = rowLength(norm)
  const codec = await openCodec()
  const read = readFrom(files)
  const scales = await evaluateRows(norm.recipe, 0, 1, read, codec)
  const whole = columns <= wholeColumns
  const width = whole ? columns : 3 * rank
  const signs = whole ? undefined : randomSigns(seed, columns, width)
  const products = new Float64Array(columns * width)
  const diagonal = new Float64Array(columns)
  for (const { recipe } of readers) {
    const ofReader = new Float64Array(columns * width)
    const squares = new Float64Array(columns)
    for await (const row of rowsOf(recipe, (start, end) => evaluateRows(recipe, start, end, read, codec))) {
      for (let i = 0; i < columns; i += 1) row[i] = (row[i] as number) * (scales[i] as number)
      addProducts(ofReader, row, signs === undefined ? row : project(row, signs, width))
      for (let i = 0; i < columns; i += 1) squares[i] = (squares[i] as number) + (row[i] as number) ** 2
    }
    const share = columns / (readers.length * squares.reduce((sum, square) => sum + square, 0) || 1)
    for (let i = 0; i < products.length; i += 1) products[i] = (products[i] as number) + share * (ofReader[i] as number)
    for (let i = 0; i < columns; i += 1) diagonal[i] = (diagonal[i] as number) + share * (squares[i] as number)
  }
  return signs === undefined ? { full: products } : nystrom(products, signs, diagonal, rank)
}

async function* rowsOf(
  recipe: Recipe,
  evaluate: (start: number, end: number) => Promise<Float32Array>,
): AsyncGenerator<Float64Array> {
  const [rows, length] = [rowCount(recipe), rowLength(recipe)]
  for (let start = 0; start < rows; start += rowsAtOnce) {
    const values = await evaluate(start, Math.min(rows, start + rowsAtOnce))
    for (let at = 0; at < values.length; at += length) yield Float64Array.from(values.subarray(at, at + length))
  }
}

/** sum += row^T other. */
function addProducts(sum: Float64Array, row: Float64Array, other: Float64Array): void {
  for (let i = 0; i < row.length; i += 1) {
    const value = row[i] as number
    const to = i * other.length
    for (let j = 0; j < other.length; j += 1) sum[to + j] = (sum[to + j] as number) + value * (other[j] as number)
  }
}

/** row signs. */
function project(row: Float64Array, signs: Float32Array, width: number): Float64Array {
  const projected = new Float64Array(width)
  for (let i = 0; i < row.length; i += 1) {
    const value = row[i] as number
    for (let j = 0; j < width; j += 1) projected[j] = (projected[j] as number) + value * (signs[i * width + j] as number)
  }
  return projected
}

function readFrom(files: readonly string[]): ReadRange {
  return async ({ file, start, end }: FileRange) => {
    const source = await fileSource(files[file] as string)
    try {
      return await source.slice(start, end)
    } finally {
      await source.close()
    }
  }
}
