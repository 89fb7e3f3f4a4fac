import { type Recipe, type Shape, stack } from '../../recipe/index.js'
import type { ExpectedTensor, NamedTensor } from './types.js'

/** A tensor of the checkpoint by name, and its conversion to GGUF tensors: one entry of a family's table. */
export interface TensorMapping extends ExpectedTensor {
  /** The checkpoint's name. */
  readonly name: string
}

type Transform = (input: Recipe) => Recipe

interface MappingOptions {
  /** Whether the tensor may be absent. */
  readonly optional?: boolean
  readonly transform?: Transform
}

/** A tensor that becomes one GGUF tensor, both by their full names. */
export function tensor(from: string, to: string, shape: Shape, options: MappingOptions = {}): TensorMapping {
  const { optional = false, transform = (input: Recipe): Recipe => input } = options
  return { name: from, shape, required: !optional, toGguf: (recipe) => [{ name: to, recipe: transform(recipe) }] }
}

interface LinearOptions extends MappingOptions {
  /** `optional` by default: llama.cpp adds a bias wherever there is one. */
  readonly bias?: boolean | 'optional'
}

/** A matrix `FROM.weight`, and its bias `FROM.bias` where it has one. */
export function linear(
  from: string,
  to: string,
  [rows, columns]: readonly [number, number],
  options: LinearOptions = {},
): TensorMapping[] {
  const { bias = 'optional', ...rest } = options
  const weight = tensor(`${from}.weight`, `${to}.weight`, [rows, columns], rest)
  if (bias === false) return [weight]
  const optional = rest.optional === true || bias === 'optional'
  return [weight, tensor(`${from}.bias`, `${to}.bias`, [rows], { ...rest, optional })]
}

/** A vector `FROM.weight`. */
export function norm(from: string, to: string, length: number, options: MappingOptions = {}): TensorMapping {
  return tensor(`${from}.weight`, `${to}.weight`, [length], options)
}

/** Vectors `FROM.weight` and `FROM.bias`. */
export function layerNorm(from: string, to: string, length: number, options: LinearOptions = {}): TensorMapping[] {
  const { bias = true, ...rest } = options
  const weight = norm(from, to, length, rest)
  return bias === false
    ? [weight]
    : [weight, tensor(`${from}.bias`, `${to}.bias`, [length], { ...rest, optional: bias === 'optional' })]
}

/** A tensor that becomes several GGUF tensors. */
export function split(
  from: string,
  shape: Shape,
  toGguf: (input: Recipe) => readonly NamedTensor[],
  { optional = false }: { readonly optional?: boolean } = {},
): TensorMapping {
  return { name: from, shape, required: !optional, toGguf }
}

/** A tensor of the checkpoint that is one of several parts of a GGUF tensor. */
export interface Part {
  readonly name: string
  readonly shape: Shape
}

/** Several tensors that make up one or more GGUF tensors, which the last of them returns. */
export function joined(parts: readonly Part[], toGguf: (recipes: readonly Recipe[]) => readonly NamedTensor[]): TensorMapping[] {
  const found: Recipe[] = []
  let missing = parts.length
  return parts.map(({ name, shape }, index) => ({
    name,
    shape,
    required: true,
    toGguf: (recipe) => {
      found[index] = recipe
      missing--
      return missing > 0 ? [] : toGguf(found)
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

/** Stacked experts; the last matrix of the layer returns all kinds, in their order. */
export function stackedExperts(experts: number, kinds: readonly ExpertKind[]): TensorMapping[] {
  const parts = kinds.flatMap(({ from, shape }) =>
    Array.from({ length: experts }, (_, expert): Part => ({ name: from(expert), shape })),
  )
  return joined(parts, (recipes) =>
    kinds.map(({ to }, kind) => ({ name: to, recipe: stack(recipes.slice(kind * experts, (kind + 1) * experts)) })),
  )
}

/** Mappings with a prefix on both names, followed by a dot. */
export function within(from: string, to: string, mappings: readonly TensorMapping[]): TensorMapping[] {
  return mappings.map((mapping) => ({
    ...mapping,
    name: `${from}.${mapping.name}`,
    toGguf: (recipe) => mapping.toGguf(recipe).map((output) => ({ ...output, name: `${to}.${output.name}` })),
  }))
}

/** Mappings of all blocks: `FROM.N` in the checkpoint, `blk.N` in the GGUF. */
export function blocks(from: string, layers: number, mappingsOf: (layer: number) => readonly TensorMapping[]): TensorMapping[] {
  return Array.from({ length: layers }, (_, layer) => within(`${from}.${layer}`, `blk.${layer}`, mappingsOf(layer))).flat()
}

/** The reason of tensors that are left out without a note. */
export const silently = 'that need no word'

/** Buffers that old checkpoints saved with their weights. */
export function isComputedBuffer(name: string): boolean {
  return ['.rotary_emb.inv_freq', '.attention.bias', '.attention.masked_bias'].some((suffix) => name.endsWith(suffix))
}
