import { type Recipe, type Shape, stack } from '../../recipe/index.js'
import type { ExpectedTensor, NamedTensor } from './types.js'

/** A tensor of the checkpoint and what becomes of it: one row of a family's table. */
export interface Row extends ExpectedTensor {
  /** The checkpoint's name. */
  readonly name: string
}

type Transform = (input: Recipe) => Recipe

interface RowOptions {
  /** Whether a checkpoint without it is whole. */
  readonly optional?: boolean
  readonly transform?: Transform
}

/** A tensor with one counterpart in the output, both by their full names. */
export function tensor(from: string, to: string, shape: Shape, options: RowOptions = {}): Row {
  const { optional = false, transform = (input: Recipe): Recipe => input } = options
  return { name: from, shape, required: !optional, place: (recipe) => [{ name: to, recipe: transform(recipe) }] }
}

interface LinearOptions extends RowOptions {
  /** `optional` by default: llama.cpp adds a bias wherever there is one. */
  readonly bias?: boolean | 'optional'
}

/** A matrix `FROM.weight`, and its bias `FROM.bias` where it has one. */
export function linear(from: string, to: string, [rows, columns]: readonly [number, number], options: LinearOptions = {}): Row[] {
  const { bias = 'optional', ...rest } = options
  const weight = tensor(`${from}.weight`, `${to}.weight`, [rows, columns], rest)
  if (bias === false) return [weight]
  const optional = rest.optional === true || bias === 'optional'
  return [weight, tensor(`${from}.bias`, `${to}.bias`, [rows], { ...rest, optional })]
}

/** A vector `FROM.weight`. */
export function norm(from: string, to: string, length: number, options: RowOptions = {}): Row {
  return tensor(`${from}.weight`, `${to}.weight`, [length], options)
}

/** Vectors `FROM.weight` and `FROM.bias`. */
export function layerNorm(from: string, to: string, length: number, options: LinearOptions = {}): Row[] {
  const { bias = true, ...rest } = options
  const weight = norm(from, to, length, rest)
  return bias === false
    ? [weight]
    : [weight, tensor(`${from}.bias`, `${to}.bias`, [length], { ...rest, optional: bias === 'optional' })]
}

/** A tensor with several counterparts in the output. */
export function split(
  from: string,
  shape: Shape,
  place: (input: Recipe) => readonly NamedTensor[],
  { optional = false }: { readonly optional?: boolean } = {},
): Row {
  return { name: from, shape, required: !optional, place }
}

/** A tensor of the checkpoint that is one of several parts of the output's. */
export interface Part {
  readonly name: string
  readonly shape: Shape
}

/** Several tensors that make up one or more of the output, when the last of them has come in. */
export function joined(parts: readonly Part[], place: (recipes: readonly Recipe[]) => readonly NamedTensor[]): Row[] {
  const found: Recipe[] = []
  let waiting = parts.length
  return parts.map(({ name, shape }, index) => ({
    name,
    shape,
    required: true,
    place: (recipe) => {
      found[index] = recipe
      waiting--
      return waiting > 0 ? [] : place(found)
    },
  }))
}

/** One kind of a layer's routed experts. */
export interface ExpertKind {
  /** The checkpoint's name of one expert's matrix. */
  readonly from: (expert: number) => string
  /** The output's name of all of them. */
  readonly to: string
  readonly shape: Shape
}

/** Experts, stacked; all kinds come out, in their order, when the last matrix of the layer has come in. */
export function stackedExperts(experts: number, kinds: readonly ExpertKind[]): Row[] {
  const parts = kinds.flatMap(({ from, shape }) =>
    Array.from({ length: experts }, (_, expert): Part => ({ name: from(expert), shape })),
  )
  return joined(parts, (recipes) =>
    kinds.map(({ to }, kind) => ({ name: to, recipe: stack(recipes.slice(kind * experts, (kind + 1) * experts)) })),
  )
}

/** Rows whose names on both sides continue these, with a dot between. */
export function within(from: string, to: string, rows: readonly Row[]): Row[] {
  return rows.map((row) => ({
    ...row,
    name: `${from}.${row.name}`,
    place: (recipe) => row.place(recipe).map((placed) => ({ ...placed, name: `${to}.${placed.name}` })),
  }))
}

/** The rows of all blocks: `FROM.N` on the checkpoint's side, `blk.N` on the output's. */
export function blocks(from: string, layers: number, rowsOf: (layer: number) => readonly Row[]): Row[] {
  return Array.from({ length: layers }, (_, layer) => within(`${from}.${layer}`, `blk.${layer}`, rowsOf(layer))).flat()
}

/** The reason of what is left out without a word. */
export const silently = 'that need no word'

/** Buffers that old checkpoints saved with their weights. */
export function isComputedBuffer(name: string): boolean {
  return ['.rotary_emb.inv_freq', '.attention.bias', '.attention.masked_bias'].some((suffix) => name.endsWith(suffix))
}
