import type { SafetensorsTensor } from '../../../formats/safetensors/index.js'
import {
  combine,
  concat,
  constant,
  elementCount,
  lowRank,
  multiply,
  type PlainType,
  plain,
  type Recipe,
  reshape,
  rowMagnitude,
  type Shape,
  sameShape,
  slice,
  stack,
  takeColumns,
  transpose,
} from '../../recipe/index.js'
import type { AdaptedModule } from './open-adapter.js'

/** Update of a tensor by an adapter: `current` includes earlier adapters, `base` does not. */
export type Change = (current: Recipe, base: Recipe) => Recipe

/** Layout of a module's weight: outputs x inputs (linear layers), or inputs x outputs (embeddings, GPT-2's layers). */
export type Orientation = 'outputs' | 'inputs'

/** Returns the values of a tensor of the adapter. @param file index of the adapter's file among the files of recipes. */
export function valuesOf({ dtype, shape, start, end }: SafetensorsTensor, file: number): Recipe {
  return plain(dtype as PlainType, { file, start, end }, shape)
}

/** Whether the product of a module's two matrices has this shape. */
export function fitsModule({ a, b }: AdaptedModule, shape: Shape, orientation: Orientation): boolean {
  const [outputs = 0, inputs = 0] = [b.shape[0], a.shape[1]]
  return sameShape(shape, orientation === 'outputs' ? [outputs, inputs] : [inputs, outputs])
}

/**
 * Returns the weight plus the scaled update B A; for DoRA its rows are rescaled to the trained magnitudes.
 * Source: Linear.get_delta_weight, Embedding.get_delta_weight and DoraLinearVariant.merge_safe of peft 0.21.
 */
export function changeOf({ a, b, magnitude }: AdaptedModule, scaling: number, file: number, orientation: Orientation): Change {
  const [left, right] = [valuesOf(b, file), valuesOf(a, file)]
  const delta = orientation === 'outputs' ? lowRank(left, right, scaling) : lowRank(transpose(right), transpose(left), scaling)
  const plus = (weight: Recipe): Recipe => combine('sum', weight, delta)
  if (magnitude === undefined) return plus
  const lengths = valuesOf(magnitude, file)
  const flat = reshape(lengths, [elementCount(lengths.shape)])
  const upright = (weight: Recipe): Recipe => (orientation === 'outputs' ? weight : transpose(weight))
  // The norm is that of the base with this adapter alone, also where others came before.
  return (current, base) =>
    upright(rowMagnitude(upright(plus(current)), flat, current === base ? undefined : upright(plus(base))))
}

/** Adds the bias of the second matrix (lora_bias). */
export function biasChange(bias: SafetensorsTensor, scaling: number, file: number): (current: Recipe | undefined) => Recipe {
  const added = multiply(valuesOf(bias, file), scaling)
  return (current) => (current === undefined ? added : combine('sum', current, added))
}

/** Replaces trained rows of an embedding. @param indices row numbers, each once. */
export function rowsChange(rows: SafetensorsTensor, indices: readonly number[], file: number): Change {
  const trained = valuesOf(rows, file)
  const places = indices.map((row, index) => ({ row, index })).toSorted((one, other) => one.row - other.row)
  return (current) => {
    const parts: Recipe[] = []
    let next = 0
    for (const { row, index } of places) {
      if (row > next) parts.push(slice(current, 0, next, row))
      parts.push(slice(trained, 0, index, index + 1))
      next = row + 1
    }
    const count = current.shape[0] ?? 0
    if (next < count) parts.push(slice(current, 0, next, count))
    return concat(parts)
  }
}

/** The two matrices of all experts of a layer: A [experts * rank, inputs], B [outputs, rank * experts]. */
export interface ExpertFactors {
  readonly module: AdaptedModule
  readonly experts: number
  readonly scaling: number
  readonly file: number
}

/**
 * Returns the update of one expert's matrix, outputs x inputs or inputs x outputs.
 * @param rows of the outputs, where only these are wanted: gate or up-projection of both in one.
 * Source: ParamWrapper.get_delta_weight of peft 0.21.
 */
export function expertDelta(
  { module: { a, b }, experts, scaling, file }: ExpertFactors,
  expert: number,
  orientation: Orientation,
  rows?: readonly [number, number],
): Recipe {
  const rank = (a.shape[0] ?? 0) / experts
  const right = experts === 1 ? valuesOf(a, file) : slice(valuesOf(a, file), 0, expert * rank, (expert + 1) * rank)
  const columns = Array.from({ length: rank }, (_, k) => k * experts + expert)
  const picked = experts === 1 ? valuesOf(b, file) : takeColumns(valuesOf(b, file), constant(columns))
  const left = rows === undefined ? picked : slice(picked, 0, rows[0], rows[1])
  return orientation === 'outputs' ? lowRank(left, right, scaling) : lowRank(transpose(right), transpose(left), scaling)
}

/** Returns the update of the matrices of all experts, as one tensor. */
export function expertsChange(factors: ExpertFactors, orientation: Orientation): Change {
  const deltas = Array.from({ length: factors.experts }, (_, expert) => expertDelta(factors, expert, orientation))
  return (current) => combine('sum', current, stack(deltas))
}
