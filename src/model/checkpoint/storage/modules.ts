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
import type { Storage, StorageContext, StoredTensors } from './types.js'

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

/**
 * A storage of such weights; every other tensor that is no detail is plain.
 * @throws MqError TENSOR_MISSING, when it is read, for a matrix in 8-bit floats that is none of these weights: its scale is missing.
 */
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
    tensor: (name) => built(stored, weights.get(name)) ?? unscaled(stored, name),
    notes,
  }
}

/**
 * The values of a module.
 * @throws MqError STORAGE_UNSUPPORTED where its tensors do not fit together, such as codes in a type of another size.
 */
function built(stored: StoredTensors, module: Module | undefined): Recipe | undefined {
  try {
    return module?.build()
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw MqError.of('STORAGE_UNSUPPORTED', {
      file: stored.path,
      storage: `tensors that do not fit together (${module?.weight}: ${error.message})`,
      advice: 'Download the checkpoint again, or use the original one, before it was quantized',
    })
  }
}

function unscaled(stored: StoredTensors, name: string): Recipe {
  const { dtype, shape } = stored.get(name) ?? {}
  if (dtype?.startsWith('F8_') === true && (shape?.length ?? 0) > 1) {
    throw MqError.of('TENSOR_MISSING', { path: stored.path, tensor: `${name}_scale` })
  }
  return stored.floats(name)
}

/** Scales or zero points of groups of a matrix's columns, over all of them: `groups` is rows x groups, or one for each row or for all. */
export function overColumns(groups: Recipe, shape: Shape, name: string): Recipe {
  const [rows = 0, columns = 0] = shape
  const count = elementCount(groups.shape)
  if (count === 1) return expand(reshape(groups, [1, 1]), rows, columns, shape)
  const perRow = count / rows
  if (!Number.isInteger(perRow) || perRow < 1 || groups.shape[0] !== rows || perRow > columns) {
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

/** Checks how many values a tensor has. @throws MqError TENSOR_MISSING, TENSOR_SHAPE. */
export function requireCount(stored: StoredTensors, name: string, count: number): void {
  const shape = requireShape(stored, name)
  if (elementCount(shape) !== count) throw shapeError(name, shape, `${count} ${count === 1 ? 'value' : 'values'}`)
}

/**
 * Checks the number of groups that scales stand for against the `group_size` of config.json, unless modules may have sizes of their own
 * (`dynamic` of GPTQModel, `extra_config` of AutoRound).
 * @param groups as the tensor `name` has them.
 * @param columns inputs of the weight.
 * @throws MqError TENSOR_SHAPE.
 */
export function checkGroups({ stored, quantization }: StorageContext, name: string, groups: number, columns: number): void {
  const size = quantization?.['group_size']
  if (typeof size !== 'number' || hasOverrides(quantization)) return
  const expected = size > 0 ? Math.ceil(columns / size) : 1
  if (groups !== expected)
    throw shapeError(name, requireShape(stored, name), `${expected} groups of ${size > 0 ? size : columns}`)
}

/** Whether config.json gives single modules other bits and group sizes. */
export function hasOverrides(quantization: StorageContext['quantization']): boolean {
  return quantization?.['dynamic'] != null || quantization?.['extra_config'] != null
}

/**
 * Powers of two of 8 bits (E8M0), which older writers of safetensors could only call bytes.
 * @throws MqError TENSOR_MISSING; STORAGE_UNSUPPORTED for any other type.
 */
export function powersOfTwo(stored: StoredTensors, name: string, storage: string): Recipe {
  requireShape(stored, name)
  const dtype = stored.get(name)?.dtype
  if (dtype === 'F8_E8M0' || dtype === 'U8') return stored.as(name, 'F8_E8M0')
  throw MqError.of('STORAGE_UNSUPPORTED', {
    file: stored.path,
    storage: `${storage} with scales of ${dtype} (tensor ${name})`,
    advice: 'Use the original checkpoint, or export this one with scales of F8_E8M0 or U8',
  })
}

/** The shape of a tensor that must be there. @throws MqError TENSOR_MISSING. */
export function requireShape(stored: StoredTensors, name: string): Shape {
  const found = stored.get(name)
  if (found === undefined) throw MqError.of('TENSOR_MISSING', { path: stored.path, tensor: name })
  return found.shape
}
