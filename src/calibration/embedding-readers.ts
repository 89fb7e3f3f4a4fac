import type { EmbeddingReaders } from '../covariance/index.js'
import type { Blueprint, TensorRole } from '../model/index.js'
import { type Recipe, rowLength } from '../recipe/index.js'

const queriesInOne: readonly TensorRole[] = ['attention-q', 'attention-k', 'attention-v', 'attention-qkv']
const queriesInTwo: readonly TensorRole[] = ['attention-q-a', 'attention-kv-a']

/** An embedding and what the first block reads it with. */
export interface ReadEmbedding {
  /** Its name. */
  readonly embedding: string
  readonly recipe: Recipe
  readonly readers: EmbeddingReaders
  /** Whether it is the output matrix too. */
  readonly isTied: boolean
}

/** The embedding and what the first block reads it with; undefined where its first reader is not attention behind a norm. */
export function embeddingReaders({ tensors }: Pick<Blueprint, 'tensors'>): ReadEmbedding | undefined {
  const embedding = tensors.find(({ role }) => role === 'embedding')
  const norm = tensors.find(({ name }) => name === 'blk.0.attn_norm.weight')
  if (embedding === undefined || norm === undefined) return undefined
  const first = tensors.filter(({ layer, name }) => layer === 0 && name.endsWith('.weight'))
  const roles = first.some(({ role }) => role === 'attention-q-a') ? queriesInTwo : queriesInOne
  const columns = rowLength(embedding)
  const readers = first.filter((tensor) => roles.includes(tensor.role) && rowLength(tensor) === columns)
  if (readers.length === 0 || rowLength(norm) !== columns || columns % 32 !== 0) return undefined
  const { name, recipe } = embedding
  const isTied = tensors.every(({ role }) => role !== 'output')
  return { embedding: name, recipe, readers: { norm: norm.recipe, readers: readers.map((reader) => reader.recipe) }, isTied }
}
