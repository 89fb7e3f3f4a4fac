import type { EmbeddingReaders } from '../covariance/index.js'
import type { Blueprint, TensorRole } from '../model/index.js'
import { rowLength } from '../recipe/index.js'

const queriesInOne: readonly TensorRole[] = ['attention-q', 'attention-k', 'attention-v', 'attention-qkv']
const queriesInTwo: readonly TensorRole[] = ['attention-q-a', 'attention-kv-a']

/**
 * The embedding and what the first block reads it with; undefined where the embedding is the output matrix too, or its first reader is not
 * attention behind a norm.
 */
export function embeddingReaders({
  tensors,
}: Pick<Blueprint, 'tensors'>): { readonly embedding: string; readonly readers: EmbeddingReaders } | undefined {
  const embedding = tensors.find(({ role }) => role === 'embedding')
  const norm = tensors.find(({ name }) => name === 'blk.0.attn_norm.weight')
  if (embedding === undefined || norm === undefined || tensors.every(({ role }) => role !== 'output')) return undefined
  const first = tensors.filter(({ layer, name }) => layer === 0 && name.endsWith('.weight'))
  const roles = first.some(({ role }) => role === 'attention-q-a') ? queriesInTwo : queriesInOne
  const columns = rowLength(embedding)
  const readers = first.filter((tensor) => roles.includes(tensor.role) && rowLength(tensor) === columns)
  if (readers.length === 0 || rowLength(norm) !== columns || columns % 32 !== 0) return undefined
  return { embedding: embedding.name, readers: { norm: norm.recipe, readers: readers.map(({ recipe }) => recipe) } }
}
