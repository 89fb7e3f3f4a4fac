import * as v from 'valibot'
import { MqError } from '../../../errors/index.js'
import { blockScale, elementCount, type Recipe, reshape, type Shape, sameShape, showShape } from '../../../recipe/index.js'
import { describeQuantization, originalAdvice } from './describe.js'
import type { StorageContext, StorageKind, StoredTensors } from './types.js'
import { refuseForeignScales } from './unsupported.js'

const blockSize = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_536))
const fp8Config = v.object({
  quant_method: v.picklist(['fp8', 'fbgemm_fp8']),
  fmt: v.nullish(v.picklist(['e4m3', 'e5m2'])),
  weight_block_size: v.nullish(v.tuple([blockSize, blockSize])),
})

type Block = readonly [number, number]

/** What FineGrainedFP8Config of transformers takes where config.json names no block. */
const usualBlock: Block = [128, 128]

/** The names of a weight's scales: DeepSeek's (a factor, whatever `inv` suggests), then those of vLLM, FBGEMM and others. */
const scaleSuffixes = ['_scale_inv', '_scale'] as const
/** Scales of activations and of the KV cache, which a conversion does not need. */
const activationSuffixes = [
  '.activation_scale',
  '_activation_scale',
  '.input_scale',
  '_input_scale',
  '.k_scale',
  '.v_scale',
  '.q_scale',
  '_input_scale_ub',
]

/**
 * 8-bit floats with scales beside them: one for a block, a row or the whole tensor. value = f32(weight) * scale.
 * Source: DeepSeek-V3's inference/kernel.py (weight_dequant); FineGrainedFP8Config and FbgemmFp8Config of transformers.
 */
export const fp8: StorageKind = {
  name: 'FP8',
  open(context) {
    const { stored, quantization } = context
    const { quant_method: method } = quantization ?? {}
    const isFp8 = method === 'fp8' || method === 'fbgemm_fp8'
    const isHere = (name: string): boolean =>
      stored.get(name)?.dtype.startsWith('F8_') === true || name.endsWith(scaleSuffixes[0])
    if (!isFp8 || !stored.names.some(isHere)) return undefined
    refuseForeignScales(context)
    const block = readBlock(context)
    const orphan = stored.names.find(
      (name) => name.endsWith(scaleSuffixes[0]) && stored.get(name.slice(0, -scaleSuffixes[0].length)) === undefined,
    )
    if (orphan !== undefined) {
      throw MqError.of('TENSOR_MISSING', { path: stored.path, tensor: orphan.slice(0, -scaleSuffixes[0].length) })
    }
    const details = new Set(stored.names.filter((name) => isDetail(stored, name)))
    return {
      names: stored.names.filter((name) => !details.has(name)),
      shapeOf: (name) => stored.get(name)?.shape,
      tensor: (name) => readTensor(context, name, block),
      notes: [],
    }
  },
}

function readBlock({ quantization, configFile }: StorageContext): Block | undefined {
  const parsed = v.safeParse(fp8Config, quantization)
  if (parsed.success) return parsed.output.weight_block_size ?? undefined
  throw MqError.of('STORAGE_UNSUPPORTED', {
    file: configFile,
    storage: describeQuantization(quantization),
    advice: originalAdvice,
  })
}

/** Whether a tensor is no weight, but says how to read one or what to do with activations. */
function isDetail(stored: StoredTensors, name: string): boolean {
  if (activationSuffixes.some((suffix) => name.endsWith(suffix))) return true
  return (
    scaleSuffixes.some((suffix) => name.endsWith(suffix) && stored.get(name.slice(0, -suffix.length)) !== undefined) ||
    name.endsWith(scaleSuffixes[0])
  )
}

function readTensor(context: StorageContext, name: string, block: Block | undefined): Recipe {
  const { stored, configFile } = context
  const weight = stored.floats(name)
  const [scale, other] = scaleSuffixes.map((suffix) => name + suffix).filter((scale) => stored.get(scale) !== undefined)
  if (scale !== undefined && other !== undefined) {
    throw MqError.of('STORAGE_UNSUPPORTED', {
      file: configFile,
      storage: `FP8 with two scales for one weight (${scale} and ${other})`,
      advice: 'Remove the one that does not belong to the weights, or use the original checkpoint',
    })
  }
  const isFp8 = stored.get(name)?.dtype.startsWith('F8_') === true
  if (scale === undefined) {
    // Vectors are stored as they are, in whatever type.
    if (isFp8 && weight.shape.length > 1) {
      throw MqError.of('TENSOR_MISSING', { path: stored.path, tensor: name + scaleSuffixes[0] })
    }
    return weight
  }
  if (!isFp8) {
    throw MqError.of('STORAGE_UNSUPPORTED', {
      file: configFile,
      storage: `FP8, and has the scales ${scale} beside a weight of ${stored.get(name)?.dtype}`,
      advice:
        'If the weights are dequantized already, remove quantization_config from config.json and the scales from the weight files',
    })
  }
  return scaled(name, weight, readScale(context, scale), scale, block)
}

/**
 * Scales are floats, or powers of two in 8 bits (UE8M0), which older writers of safetensors could only call bytes.
 * @throws MqError STORAGE_UNSUPPORTED.
 */
function readScale({ stored, quantization, configFile }: StorageContext, name: string): Recipe {
  const dtype = stored.get(name)?.dtype
  const isPower = dtype === 'F8_E8M0' || (dtype === 'U8' && quantization?.['scale_fmt'] === 'ue8m0')
  if (isPower) return stored.as(name, 'F8_E8M0')
  if (dtype !== 'F64' && dtype !== 'F32' && dtype !== 'F16' && dtype !== 'BF16') {
    throw MqError.of('STORAGE_UNSUPPORTED', {
      file: configFile,
      storage: `FP8 with scales of ${dtype} (tensor ${name})`,
      advice: `${dtype === 'U8' ? 'If they are powers of two (UE8M0), write "scale_fmt": "ue8m0" into quantization_config of config.json; else use' : 'Use'} the original checkpoint, or export this one with scales of F32, F16, BF16 or F8_E8M0`,
    })
  }
  return stored.floats(name)
}

/**
 * An FP8 tensor times its scales.
 * @throws MqError TENSOR_SHAPE where the scales do not cover the tensor.
 */
function scaled(name: string, weight: Recipe, scale: Recipe, scaleName: string, block: Block | undefined): Recipe {
  const [rows, columns, ...more] = weight.shape
  if (rows === undefined || columns === undefined || more.length > 0) {
    throw shapeError(name, weight.shape, 'two dimensions, as all scaled FP8 weights')
  }
  const grid = ([blockRows, blockColumns]: Block): Shape => [Math.ceil(rows / blockRows), Math.ceil(columns / blockColumns)]
  const flat = rowOrTensor(rows, columns, scale.shape)
  const [blockRows, blockColumns] = block ?? flat ?? usualBlock
  const expected = grid([blockRows, blockColumns])
  // Without blocks, the scales come as a scalar, a vector or a column.
  const fits = flat !== undefined && block === undefined ? true : sameShape(expected, scale.shape)
  if (!fits) throw shapeError(scaleName, scale.shape, showShape(expected))
  return blockScale(weight, reshape(scale, expected), blockRows, blockColumns)
}

/** The block that one scale covers where there is one for each row, or one for the whole tensor; undefined where there are others. */
function rowOrTensor(rows: number, columns: number, shape: Shape): Block | undefined {
  if (elementCount(shape) === 1) return [rows, columns]
  return sameShape(shape, [rows]) || sameShape(shape, [rows, 1]) ? [1, columns] : undefined
}

function shapeError(tensor: string, shape: Shape, expected: string): MqError {
  return MqError.of('TENSOR_SHAPE', { tensor, shape: showShape(shape), expected })
}
