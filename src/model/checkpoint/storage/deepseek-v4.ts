import { blockScale, mxfp4, type Recipe, reshape, type Shape, showShape } from '../../../recipe/index.js'
import { requireShape, shapeError } from './modules.js'
import type { StorageContext, StorageKind, StoredTensors } from './types.js'

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
  open({ stored, config }: StorageContext) {
    const scales = stored.names.filter((name) => name.endsWith(scaleSuffix) && weightOf(stored, name) !== undefined)
    if (config['model_type'] !== 'deepseek_v4' || scales.length === 0) return undefined
    const scaled = new Map(scales.map((scale) => [weightOf(stored, scale) as string, scale]))
    const details = new Set(scales)
    return {
      names: stored.names.filter((name) => !details.has(name)),
      shapeOf: (name) => (isFourBit(stored, name, scaled) ? unpackedShape(stored, name) : stored.get(name)?.shape),
      tensor: (name) => readTensor(stored, name, scaled),
      notes: [],
    }
  },
}

function weightOf(stored: StoredTensors, scale: string): string | undefined {
  const weight = `${scale.slice(0, -scaleSuffix.length)}.weight`
  return stored.get(weight) === undefined ? undefined : weight
}

function isFourBit(stored: StoredTensors, name: string, scaled: ReadonlyMap<string, string>): boolean {
  const dtype = stored.get(name)?.dtype
  return scaled.has(name) && (dtype === 'I8' || dtype === 'U8')
}

function unpackedShape(stored: StoredTensors, name: string): Shape {
  const [rows = 0, bytes = 0] = requireShape(stored, name)
  return [rows, 2 * bytes]
}

function readTensor(stored: StoredTensors, name: string, scaled: ReadonlyMap<string, string>): Recipe {
  const scale = scaled.get(name)
  const dtype = stored.get(name)?.dtype
  // Tables of experts by token.
  if (dtype === 'I64' || dtype === 'I32') return stored.as(name, dtype)
  if (scale === undefined) return stored.floats(name)
  const found = requireShape(stored, scale)
  if (isFourBit(stored, name, scaled)) {
    const shape = unpackedShape(stored, name)
    const [rows = 0, columns = 0] = shape
    requireGrid(scale, found, [rows, columns / groupSize])
    return mxfp4(stored.packed(name), stored.packed(scale), shape)
  }
  const weight = stored.floats(name)
  const [rows = 0, columns = 0] = weight.shape
  const grid = [Math.ceil(rows / blockSide), Math.ceil(columns / blockSide)]
  requireGrid(scale, found, grid)
  return blockScale(weight, reshape(stored.as(scale, 'F8_E8M0'), grid), blockSide, blockSide)
}

function requireGrid(scale: string, [rows, columns, ...more]: Shape, [wantedRows, wantedColumns]: Shape): void {
  if (rows === wantedRows && columns === wantedColumns && more.length === 0) return
  throw shapeError(scale, [rows ?? 0, columns ?? 0, ...more], showShape([wantedRows ?? 0, wantedColumns ?? 0]))
}
