import { MqError } from '../../../errors/index.js'
import {
  add,
  combine,
  elementCount,
  expand,
  type Recipe,
  reshape,
  type Shape,
  sameShape,
  takeColumns,
  unpack,
} from '../../../recipe/index.js'
import { describeQuantization, originalAdvice } from './describe.js'
import { fourBitFloats } from './four-bit-floats.js'
import { affine, asQ40, type Module, overColumns, requireCount, requireShape, shapeError, storageOfModules } from './modules.js'
import type { StorageContext, StorageKind } from './types.js'

/** What stands beside a weight, and what describes activations, the KV cache or a rotation that is merged already. */
const details =
  /(?:\.weight_(?:packed|scale|shape|zero_point|global_scale|scale_2|g_idx)|[._](?:input|k|v|q|output)_(?:scale|zero_point|global_scale)|_bmm_quantizer\._\w+)$/

/**
 * Formats of compressed-tensors and of ModelOpt, each recognised by the tensors beside a weight:
 * integers packed in 32-bit words (weight_packed), 8-bit integers, 8-bit floats, and 4-bit floats with scales of 8 bits (NVFP4, MXFP4).
 * Source: src/compressed_tensors/compressors of github.com/vllm-project/compressed-tensors; modelopt/torch/export of
 * github.com/NVIDIA/Model-Optimizer.
 */
export const compressedTensors: StorageKind = {
  name: 'compressed-tensors',
  open(context) {
    const { stored, quantization } = context
    const method = quantization?.['quant_method']
    if (method !== 'compressed-tensors' && method !== 'modelopt' && method !== 'modelopt_mixed') return undefined
    const scales = stored.names.filter((name) => name.endsWith('.weight_scale'))
    if (scales.length === 0) return undefined
    const modules = scales.map((name) => moduleOf(context, name.slice(0, -'_scale'.length)))
    return storageOfModules(stored, modules, (name) => details.test(name))
  },
}

function moduleOf(context: StorageContext, weight: string): Module {
  const { stored, quantization } = context
  const packed = stored.get(`${weight}_packed`)
  if (packed?.dtype === 'I32') return packedIntegers(context, weight, packed.shape)
  const anchor = packed === undefined ? weight : `${weight}_packed`
  const { dtype, shape } = stored.get(anchor) ?? { dtype: undefined, shape: requireShape(stored, anchor) }
  if (dtype === 'U8') return packedFloats(context, weight, anchor, shape)
  if (dtype === 'I8' && !saysFloats(quantization)) {
    return { weight, anchor, shape, build: () => integers(context, weight, shape) }
  }
  if (dtype === 'F8_E4M3' || dtype === 'F8_E5M2') {
    return { weight, anchor, shape, build: () => combine('product', stored.floats(weight), scaleOf(context, weight, shape)) }
  }
  throw unsupported(context, `${String(dtype)} (tensor ${anchor})`)
}

function unsupported({ configFile, quantization }: StorageContext, what: string): MqError {
  return MqError.of('STORAGE_UNSUPPORTED', {
    file: configFile,
    storage: `${describeQuantization(quantization)}, ${what}`,
    advice: originalAdvice,
  })
}

/** Whether all weights are said to be floats: then 8-bit integers are the codes of 8-bit floats, saved in another type. */
function saysFloats(quantization: Fields | undefined): boolean {
  const types = groupsOf(quantization).map(({ type }) => type)
  return types.length === 0 ? quantization?.['quant_algo'] === 'FP8' : types.every((type) => type === 'float')
}

/** (w - zero) * scale of whole numbers, by row, tensor or group. */
function integers(context: StorageContext, weight: string, shape: Shape): Recipe {
  const { stored } = context
  checkScales(context, weight, shape)
  const scales = overColumns(stored.floats(`${weight}_scale`), shape, `${weight}_scale`)
  const codes = stored.as(weight, 'I8')
  const zero = `${weight}_zero_point`
  if (isAsymmetric(context)) requireShape(stored, zero)
  return stored.get(zero) === undefined
    ? combine('product', codes, scales)
    : affine(codes, overColumns(stored.as(zero, 'I8'), shape, zero), scales)
}

/** Scales of a tensor, of rows, of groups of columns, or of blocks of rows and columns. */
function scaleOf(context: StorageContext, weight: string, shape: Shape): Recipe {
  const { stored, quantization } = context
  checkScales(context, weight, shape)
  const name = `${weight}_scale`
  const scale = stored.floats(name)
  const [rows = 0, columns = 0] = shape
  const [blockRows, blockColumns] = blockOf(quantization)
  const blocks = [Math.ceil(rows / blockRows), Math.ceil(columns / blockColumns)]
  if (scale.shape.length === 2 && sameShape(scale.shape, blocks) && scale.shape[0] !== rows) {
    return expand(scale, blockRows, blockColumns, shape)
  }
  return overColumns(scale, shape, name)
}

/**
 * Checks how many scales a weight has against the strategies of config_groups, where each names one that says it.
 * @throws MqError TENSOR_SHAPE.
 */
function checkScales({ stored, quantization }: StorageContext, weight: string, shape: Shape): void {
  const counts = groupsOf(quantization).map((weights) => scaleCount(weights, shape))
  const name = `${weight}_scale`
  const found = requireShape(stored, name)
  if (counts.length === 0 || counts.includes(undefined) || counts.includes(elementCount(found))) return
  throw shapeError(name, found, `${[...new Set(counts)].join(' or ')} values`)
}

/** How many scales a weight has; undefined where that is not said. */
function scaleCount(
  { strategy, group_size: size, block_structure: block }: Fields,
  [rows = 0, columns = 0]: Shape,
): number | undefined {
  switch (strategy) {
    case 'tensor':
      return 1
    case 'channel':
      return rows
    case 'group':
      return typeof size === 'number' && size > 0 ? rows * Math.ceil(columns / size) : undefined
    case 'block': {
      const [high, wide]: unknown[] = Array.isArray(block) ? block : []
      return typeof high === 'number' && typeof wide === 'number' ? Math.ceil(rows / high) * Math.ceil(columns / wide) : undefined
    }
    default:
      return undefined
  }
}

/** The block of the first group that names one; 128 x 128 is the only one that is used. */
function blockOf(quantization: Readonly<Record<string, unknown>> | undefined): readonly [number, number] {
  const found = groupsOf(quantization)
    .map((weights) => weights['block_structure'])
    .find(Array.isArray)
  const [rows, columns]: unknown[] = found ?? []
  return typeof rows === 'number' && typeof columns === 'number' && rows >= 1 && columns >= 1 ? [rows, columns] : [128, 128]
}

/** What config_groups say of weights. */
function groupsOf(quantization: Fields | undefined): Fields[] {
  const groups = quantization?.['config_groups']
  return (isFields(groups) ? Object.values(groups) : [])
    .map((group) => (isFields(group) ? group['weights'] : undefined))
    .filter(isFields)
}

/** Whether every group has zero points of its own, which then must be there. */
function isAsymmetric({ quantization }: StorageContext): boolean {
  const groups = groupsOf(quantization)
  return groups.length > 0 && groups.every(({ symmetric }) => symmetric === false)
}

type Fields = Readonly<Record<string, unknown>>

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null
}

/** weight_packed: 32 / bits values in a word along a row, the lowest bits first; zero points are packed down the columns. */
function packedIntegers(context: StorageContext, weight: string, [rows = 0, words = 0]: Shape): Module {
  const { stored, quantization } = context
  const scaleShape = requireShape(stored, `${weight}_scale`)
  const groups = elementCount(scaleShape) / rows
  const candidates = groupsOf(quantization).flatMap(({ num_bits: bits, group_size: size }) =>
    typeof bits === 'number' && [1, 2, 4, 8].includes(bits) ? [{ bits, size: typeof size === 'number' ? size : undefined }] : [],
  )
  const columnsAt = (bits: number): number => (words * 32) / bits
  const found =
    candidates.find(({ bits, size }) => size !== undefined && groups > 1 && Math.ceil(columnsAt(bits) / size) === groups) ??
    (candidates.length === 1 || groups === 1 ? candidates[0] : undefined)
  if (found === undefined)
    throw unsupported(context, `integers of a width that config.json does not say (tensor ${weight}_packed)`)
  const { bits } = found
  const shape = [rows, columnsAt(bits)]
  return {
    weight,
    anchor: `${weight}_packed`,
    shape,
    build() {
      checkScales(context, weight, shape)
      const codes = unpack(stored.packed(`${weight}_packed`), { bits, along: 1, packed: [rows, words * 4], values: shape })
      const index = `${weight}_g_idx`
      const spread = (values: Recipe, name: string): Recipe =>
        stored.get(index) === undefined
          ? overColumns(values, shape, name)
          : takeColumns(reshape(values, [rows, groups]), stored.as(index, 'I32'))
      const stepped = stored.floats(`${weight}_scale`)
      if (stored.get(index) !== undefined && (scaleShape[0] !== rows || !Number.isInteger(groups))) {
        throw shapeError(`${weight}_scale`, scaleShape, `${rows} rows of groups`)
      }
      const scales = spread(stepped, `${weight}_scale`)
      const zero = `${weight}_zero_point`
      if (isAsymmetric(context)) requireShape(stored, zero)
      if (stored.get(zero) === undefined) {
        const values = combine('product', add(codes, -(2 ** (bits - 1))), scales)
        const isPlain = bits === 4 && stored.get(index) === undefined && stepped.shape[0] === rows
        return isPlain ? asQ40({ values, codes, scales: reshape(stepped, [rows, groups]) }) : values
      }
      const [zeroRows = 0, zeroColumns = 0] = requireShape(stored, zero)
      if (zeroColumns !== groups || zeroRows !== Math.ceil((rows * bits) / 32))
        throw shapeError(zero, [zeroRows, zeroColumns], `[${Math.ceil((rows * bits) / 32)}, ${groups}]`)
      const zeros = unpack(stored.packed(zero), { bits, along: 0, packed: [zeroRows, groups], values: [rows, groups] })
      return affine(codes, spread(zeros, zero), scales)
    },
  }
}

/**
 * NVFP4: e2m1 * (scale of 16, E4M3, and one of the tensor); MXFP4: e2m1 * (scale of 32, a power of two).
 * compressed-tensors divides by its scale of the tensor (weight_global_scale), ModelOpt multiplies by it (weight_scale_2).
 */
function packedFloats(context: StorageContext, weight: string, anchor: string, packedShape: Shape): Module {
  const { stored } = context
  const [rows = 0, bytes = 0, ...more] = packedShape
  const shape = [rows, bytes * 2]
  const name = `${weight}_scale`
  const scale = stored.get(name)
  const block = scale?.dtype === 'F8_E4M3' ? 16 : 32
  const isPower = scale?.dtype === 'U8' || scale?.dtype === 'F8_E8M0'
  if (more.length > 0 || (block === 32 && !isPower))
    throw unsupported(context, `4-bit floats ${String(scale?.dtype)} (tensor ${anchor})`)
  return {
    weight,
    anchor,
    shape,
    build() {
      const blocks = isPower ? stored.as(name, 'F8_E8M0') : stored.floats(name)
      if (!sameShape(blocks.shape, [rows, Math.ceil((bytes * 2) / block)])) {
        throw shapeError(name, blocks.shape, `[${rows}, ${Math.ceil((bytes * 2) / block)}]`)
      }
      const whole = (suffix: string): Recipe => {
        requireCount(stored, weight + suffix, 1)
        return expand(reshape(stored.floats(weight + suffix), [1, 1]), rows, blocks.shape[1] ?? 1, blocks.shape)
      }
      const has = (suffix: string): boolean => stored.get(weight + suffix) !== undefined
      const scales = has('_global_scale')
        ? combine('quotient', blocks, whole('_global_scale'))
        : has('_scale_2')
          ? combine('product', blocks, whole('_scale_2'))
          : blocks
      if (!isPower && scales === blocks) throw MqError.of('TENSOR_MISSING', { path: stored.path, tensor: `${weight}_scale_2` })
      return combine('product', fourBitFloats(stored, anchor, shape), expand(scales, 1, block, shape))
    },
  }
}
