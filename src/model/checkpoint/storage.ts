import * as v from 'valibot'
import { MqError } from '../../errors/index.js'
import { blockScale, elementCount, type Recipe, reshape, type Shape, sameShape, showShape } from '../../recipe/index.js'

/** How a checkpoint keeps its weights. */
export type Storage =
  | { readonly method: 'plain' }
  /** 8-bit floats with multipliers beside them; no block means one multiplier for a row or for the whole tensor. */
  | { readonly method: 'fp8'; readonly block?: readonly [number, number] }

const blockSize = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_536))
const fp8Config = v.object({
  quant_method: v.literal('fp8'),
  fmt: v.nullish(v.picklist(['e4m3', 'e5m2'])),
  weight_block_size: v.nullish(v.tuple([blockSize, blockSize])),
})

/**
 * Reads quantization_config of config.json.
 * @throws MqError STORAGE_UNSUPPORTED, naming the method, for all but FP8.
 */
export function storageOf(config: Readonly<Record<string, unknown>>, file: string): Storage {
  const quantization = config['quantization_config'] ?? config['compression_config']
  if (quantization === undefined || quantization === null) return { method: 'plain' }
  const parsed = v.safeParse(fp8Config, quantization)
  if (!parsed.success) throw MqError.of('STORAGE_UNSUPPORTED', { file, storage: describe(quantization) })
  const block = parsed.output.weight_block_size
  return block === undefined || block === null ? { method: 'fp8' } : { method: 'fp8', block }
}

function describe(quantization: unknown): string {
  const fields = new Map<string, unknown>(Object.entries(quantization ?? {}))
  const words = ['quant_method', 'format', 'fmt'].map((name) => fields.get(name)).filter((word) => typeof word === 'string')
  const bits = fields.get('bits')
  return [...words, ...(typeof bits === 'number' ? [`${bits} bits`] : [])].join(', ') || 'an unnamed quantization'
}

/** Names that FP8 checkpoints add to the model's own: not weights, but how to read them or what to do with activations. */
export const fp8ScaleSuffix = '_scale_inv'
const fp8Extras = [fp8ScaleSuffix, '.activation_scale', '_activation_scale']

/** Whether a tensor of the files is not one of the model's. */
export function isStorageDetail(name: string, storage: Storage): boolean {
  return storage.method === 'fp8' && fp8Extras.some((suffix) => name.endsWith(suffix))
}

/**
 * An FP8 tensor times its multipliers.
 * @throws MqError TENSOR_SHAPE where the multipliers do not cover the tensor.
 */
export function scaled(name: string, weight: Recipe, scale: Recipe, block: readonly [number, number] | undefined): Recipe {
  const [rows, columns, ...more] = weight.shape
  if (rows === undefined || columns === undefined || more.length > 0) {
    throw shapeError(name, weight.shape, 'two dimensions, as all scaled FP8 weights')
  }
  const [blockRows, blockColumns] = block ?? (scale.shape[0] === rows && rows > 1 ? [1, columns] : [rows, columns])
  const expected = [Math.ceil(rows / blockRows), Math.ceil(columns / blockColumns)] as const
  // Without blocks, the multipliers come as a scalar, a vector or a column.
  const fits = block === undefined ? elementCount(expected) === elementCount(scale.shape) : sameShape(expected, scale.shape)
  if (!fits) throw shapeError(`${name}${fp8ScaleSuffix}`, scale.shape, showShape(expected))
  return blockScale(weight, reshape(scale, expected), blockRows, blockColumns)
}

function shapeError(tensor: string, shape: Shape, expected: string): MqError {
  return MqError.of('TENSOR_SHAPE', { tensor, shape: showShape(shape), expected })
}
