import { MqError } from '../../../errors/index.js'
import {
  combine,
  elementCount,
  expand,
  onlyMoves,
  q40,
  type Recipe,
  reshape,
  type Shape,
  showShape,
} from '../../../recipe/index.js'
import type { Storage, StoredTensors } from './types.js'

/** A weight that several tensors of the files make up. */
export interface Module {
  /** The model's name of it. */
  readonly weight: string
  /** The tensor of the files in whose place it comes. */
  readonly anchor: string
  readonly shape: Shape
  /** @throws MqError TENSOR_MISSING, TENSOR_SHAPE, STORAGE_UNSUPPORTED. */
  build(): Recipe
}

/** A storage of such weights; every other tensor that is no detail is plain. */
export function storageOfModules(
  stored: StoredTensors,
  modules: readonly Module[],
  isDetail: (name: string) => boolean,
  notes: readonly string[] = [],
): Storage {
  const anchors = new Map(modules.map((module) => [module.anchor, module]))
  const weights = new Map(modules.map((module) => [module.weight, module]))
  return {
    names: stored.names.flatMap((name) => {
      const module = anchors.get(name)
      if (module !== undefined) return [module.weight]
      return isDetail(name) ? [] : [name]
    }),
    shapeOf: (name) => weights.get(name)?.shape ?? stored.get(name)?.shape,
    tensor: (name) => weights.get(name)?.build() ?? stored.floats(name),
    notes,
  }
}

/** Scales or zero points of groups of a matrix's columns, over all of them: `groups` is rows x groups, or one for each row or for all. */
export function overColumns(groups: Recipe, shape: Shape, name: string): Recipe {
  const [rows = 0, columns = 0] = shape
  const count = elementCount(groups.shape)
  if (count === 1) return expand(reshape(groups, [1, 1]), rows, columns, shape)
  const perRow = count / rows
  if (!Number.isInteger(perRow) || groups.shape[0] !== rows || perRow > columns) {
    throw shapeError(name, groups.shape, `${rows} rows of groups`)
  }
  const size = Math.ceil(columns / perRow)
  if (Math.ceil(columns / size) !== perRow) throw shapeError(name, groups.shape, `groups that cover ${columns} columns`)
  return expand(reshape(groups, [rows, perRow]), 1, size, shape)
}

/** (codes - zeros) * scales, in f32. */
export function affine(codes: Recipe, zeros: Recipe, scales: Recipe): Recipe {
  return combine('product', combine('difference', codes, zeros), scales)
}

/**
 * Symmetric 4-bit integers, so that Q4_0 can hold them as they are: where groups are whole blocks of 32 and scales have 16 bits. Otherwise
 * their values alone. `zeros` and `index` are for storages that have them in any case.
 */
export function asQ40(parts: {
  values: Recipe
  codes: Recipe
  scales: Recipe
  zeros?: Recipe
  index?: Recipe | undefined
}): Recipe {
  const { values, codes, scales, zeros, index } = parts
  const [rows = 0, columns = 0] = values.shape
  const group = (columns * rows) / elementCount(scales.shape)
  const isHalf = onlyMoves('F16', scales) || onlyMoves('BF16', scales)
  return isHalf && group > 0 && group % 32 === 0 ? q40({ values, codes, scales, zeros, index }) : values
}

export function shapeError(tensor: string, shape: Shape, expected: string): MqError {
  return MqError.of('TENSOR_SHAPE', { tensor, shape: showShape(shape), expected })
}

/** The shape of a tensor that must be there. @throws MqError TENSOR_MISSING. */
export function requireShape(stored: StoredTensors, name: string): Shape {
  const found = stored.get(name)
  if (found === undefined) throw MqError.of('TENSOR_MISSING', { path: stored.path, tensor: name })
  return found.shape
}
