import { MqError } from '../../../errors/index.js'
import { blockScale, mxfp4, type Recipe, reshape, type Shape, sameShape, showShape } from '../../../recipe/index.js'
import { type Module, powersOfTwo, requireShape, shapeError, storageOfModules } from './modules.js'
import type { StorageKind, StoredTensors } from './types.js'

const scaleSuffix = '.scale'
/** Sides of the block that one scale of FP8 covers. */
const blockSide = 128
/** Values of an expert's row that share a scale. */
const groupSize = 32

/**
 * DeepSeek V4's own form: NAME.weight in FP8 and NAME.scale for blocks of 128 x 128; experts in 4-bit floats, two in a byte, the first in
 * the lower half, and a scale for each 32 of a row. All scales are powers of two (UE8M0).
 * Source: dequant_model and repack_mxfp4_blocks of conversion/deepseek.py and base.py, llama.cpp v0.7.0.
 */
export const deepseekV4: StorageKind = {
  name: 'FP8 and FP4 of DeepSeek V4',
  open({ stored, config }) {
    const isScale = (name: string): boolean => name.endsWith(scaleSuffix) && stored.get(weightOf(name)) !== undefined
    const scales = stored.names.filter(isScale)
    if (config['model_type'] !== 'deepseek_v4' || scales.length === 0) return undefined
    const scaled = new Set(scales.map(weightOf))
    const modules = stored.names.flatMap((name) => moduleOf(stored, name, scaled.has(name)) ?? [])
    return storageOfModules(stored, modules, isScale)
  },
}

/** The name of the weight that a scale belongs to. */
function weightOf(scale: string): string {
  return `${scale.slice(0, -scaleSuffix.length)}.weight`
}

/** Undefined for a tensor that is plain. */
function moduleOf(stored: StoredTensors, weight: string, isScaled: boolean): Module | undefined {
  const dtype = stored.get(weight)?.dtype
  const shape = requireShape(stored, weight)
  const module = { weight, anchor: weight, shape }
  // Tables of experts by token.
  if (dtype === 'I64' || dtype === 'I32') return { ...module, build: () => stored.as(weight, dtype) }
  const [rows = 0, columns = 0] = shape
  const scale = weight.replace(/\.weight$/, scaleSuffix)
  if (!isScaled) {
    const isCode = shape.length > 1 && weight.endsWith('.weight') && /^(?:F8_|[IU]8$)/.test(dtype ?? '')
    if (isCode) throw MqError.of('TENSOR_MISSING', { path: stored.path, tensor: scale })
    return undefined
  }
  const powers = (): Recipe => powersOfTwo(stored, scale, 'DeepSeek V4')
  if (dtype !== 'I8' && dtype !== 'U8') {
    const grid = [Math.ceil(rows / blockSide), Math.ceil(columns / blockSide)]
    return {
      ...module,
      build() {
        requireGrid(stored, scale, grid)
        return blockScale(stored.floats(weight), reshape(powers(), grid), blockSide, blockSide)
      },
    }
  }
  const unpacked = [rows, 2 * columns]
  return {
    ...module,
    shape: unpacked,
    build() {
      powers()
      requireGrid(stored, scale, [rows, (2 * columns) / groupSize])
      return mxfp4(stored.packed(weight), stored.packed(scale), unpacked)
    },
  }
}

function requireGrid(stored: StoredTensors, scale: string, grid: Shape): void {
  const shape = requireShape(stored, scale)
  if (!sameShape(shape, grid)) throw shapeError(scale, shape, showShape(grid))
}
