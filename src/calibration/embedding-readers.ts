import type { EmbeddingReaders } from '../covariance/index.js'
import { type Blueprint, familyOfArchitecture, type TensorRole } from '../model/index.js'
import { type Recipe, rowLength } from '../recipe/index.js'

const queriesInOne: readonly TensorRole[] = ['attention-q', 'attention-k', 'attention-v', 'attention-qkv']
const queriesInTwo: readonly TensorRole[] = ['attention-q-a', 'attention-kv-a']

/** An embedding and the matrices that read it in the first layer. */
export interface ReadEmbedding {
  /** Its name. */
  readonly embedding: string
  readonly recipe: Recipe
  readonly readers: EmbeddingReaders
  /** Matrices of the first feed-forward part, which reads the embedding plus the attention output; undefined unless it is dense, behind a norm. */
  readonly feedForward?: EmbeddingReaders | undefined
  /** The matrix by which the first attention adds to the residual stream. */
  readonly writer?: { readonly name: string; readonly recipe: Recipe } | undefined
  /** Whether it is the output matrix too. */
  readonly isTied: boolean
}

const besideAttention: readonly TensorRole[] = ['ffn-gate', 'ffn-up']

/** Tensors outside the layers that do not affect the input of the first layer. */
const elsewhere: ReadonlySet<string> = new Set([
  'token_embd',
  'output',
  'output_norm',
  'rope_freqs',
  'rope_factors_long',
  'rope_factors_short',
])

/**
 * The embedding and what the first block reads it with: attention behind a norm, and beside it the feed-forward part of families that read
 * both from there. Undefined where its first reader is another, or where positions or a norm of its own come between.
 */
export function embeddingReaders({
  architecture,
  tensors,
}: Pick<Blueprint, 'architecture' | 'tensors'>): ReadEmbedding | undefined {
  const embedding = tensors.find(({ role }) => role === 'embedding')
  if (tensors.some(({ name, layer }) => layer === undefined && !elsewhere.has(name.replace(/\.(weight|bias)$/, ''))))
    return undefined
  const norm = tensors.find(({ name }) => name === 'blk.0.attn_norm.weight')
  if (embedding === undefined || norm === undefined) return undefined
  const first = tensors.filter(({ layer, name }) => layer === 0 && name.endsWith('.weight'))
  const queries = first.some(({ role }) => role === 'attention-q-a') ? queriesInTwo : queriesInOne
  const parallel = familyOfArchitecture(architecture)?.footprint?.parallel
  const isBeside = parallel === 'without-norm' ? first.every(({ name }) => !name.endsWith('ffn_norm.weight')) : parallel === true
  const roles = isBeside ? [...queries, ...besideAttention] : queries
  const columns = rowLength(embedding)
  const readers = first.filter((tensor) => roles.includes(tensor.role) && rowLength(tensor) === columns)
  if (readers.length === 0 || rowLength(norm) !== columns || columns % 32 !== 0) return undefined
  const { name, recipe } = embedding
  const isTied = tensors.every(({ role }) => role !== 'output')
  return {
    embedding: name,
    recipe,
    readers: { norm: norm.recipe, readers: readers.map((reader) => reader.recipe) },
    feedForward: feedForwardReaders(tensors, columns),
    writer: first.find(({ role }) => role === 'attention-output'),
    isTied,
  }
}

function feedForwardReaders(tensors: Blueprint['tensors'], columns: number): EmbeddingReaders | undefined {
  const norm = tensors.find(({ name }) => name === 'blk.0.ffn_norm.weight')
  const roles: readonly TensorRole[] = ['ffn-gate', 'ffn-up']
  const readers = tensors.filter(
    (tensor) =>
      tensor.layer === 0 && roles.includes(tensor.role) && tensor.name.endsWith('.weight') && rowLength(tensor) === columns,
  )
  if (norm === undefined || rowLength(norm) !== columns || readers.length === 0) return undefined
  return { norm: norm.recipe, readers: readers.map(({ recipe }) => recipe) }
}
