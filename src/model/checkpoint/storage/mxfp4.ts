import { mxfp4 as mxfp4Recipe, sameShape, showShape } from '../../../recipe/index.js'
import { type Module, powersOfTwo, requireShape, shapeError, storageOfModules } from './modules.js'
import type { StorageKind, StoredTensors } from './types.js'

const blocksSuffix = '_blocks'
const scalesSuffix = '_scales'
/** Values that share a scale. */
const blockSize = 32

/**
 * MXFP4 as gpt-oss has it: NAME_blocks [..., blocks, 16] of two 4-bit floats in a byte, the first in the lower half, and NAME_scales
 * [..., blocks] of powers of two. The weight is called NAME and has the shape [..., 32 * blocks]: rows are outputs, where transformers
 * exchanges the last two dimensions when it loads them.
 * Source: convert_moe_packed_tensors of transformers/integrations/mxfp4.py.
 */
export const mxfp4: StorageKind = {
  name: 'MXFP4',
  open({ stored, quantization }) {
    const anchors = stored.names.filter((name) => name.endsWith(blocksSuffix) && stored.get(name)?.dtype === 'U8')
    if (quantization?.['quant_method'] !== 'mxfp4' || anchors.length === 0) return undefined
    const modules = anchors.map((name) => moduleOf(stored, name))
    const weights = new Set(modules.map(({ weight }) => weight))
    return storageOfModules(
      stored,
      modules,
      (name) => name.endsWith(scalesSuffix) && weights.has(name.slice(0, -scalesSuffix.length)),
    )
  },
}

function moduleOf(stored: StoredTensors, anchor: string): Module {
  const weight = anchor.slice(0, -blocksSuffix.length)
  const packed = requireShape(stored, anchor)
  const blocks = packed.slice(0, -1)
  if (blocks.length < 2 || packed.at(-1) !== blockSize / 2) throw shapeError(anchor, packed, `[..., blocks, ${blockSize / 2}]`)
  const shape = [...blocks.slice(0, -1), (blocks.at(-1) ?? 0) * blockSize]
  return {
    weight,
    anchor,
    shape,
    build() {
      const scaleShape = requireShape(stored, weight + scalesSuffix)
      powersOfTwo(stored, weight + scalesSuffix, 'MXFP4')
      if (!sameShape(scaleShape, blocks)) throw shapeError(weight + scalesSuffix, scaleShape, showShape(blocks))
      return mxfp4Recipe(stored.packed(anchor), stored.packed(weight + scalesSuffix), shape)
    },
  }
}
