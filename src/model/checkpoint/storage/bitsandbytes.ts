import * as v from 'valibot'
import { JsonProblem, parseJsonText } from '../../../../formats/json-text.js'
import { MqError } from '../../../errors/index.js'
import { add, combine, constant, expand, lookup, type Recipe, reshape, type Shape, unpack } from '../../../recipe/index.js'
import { type Module, overColumns, requireCount, requireShape, storageOfModules } from './modules.js'
import type { StorageContext, StorageKind, StoredTensors } from './types.js'

const stateSuffix = /\.quant_state\.bitsandbytes__(?:nf4|fp4)$/
const details =
  /(?:\.weight\.(?:absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.bitsandbytes__\w+)|\.SCB|\.weight_format)$/

const size = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(2 ** 31 - 1))
const stateSchema = v.object({
  blocksize: size,
  shape: v.tuple([size, size]),
  nested_blocksize: v.nullish(size),
  nested_offset: v.nullish(v.pipe(v.number(), v.finite())),
})
type State = v.InferOutput<typeof stateSchema>

/** What bitsandbytes multiplies rows of 8-bit integers by: 1 / 127, as its kernel writes it. */
const int8Step = Math.fround(7.874015718698502e-3)

/**
 * bitsandbytes: 4 bits (nf4, fp4), with or without double quantization, and LLM.int8.
 * 4 bits: two codes in a byte, the upper half first; value = quant_map[code] * absmax of its block. Where absmax is of 8 bits,
 * absmax = nested_quant_map[code] * nested_absmax of its block + nested_offset. 8 bits: value = code * SCB of its row / 127.
 * Source: bitsandbytes/functional.py (QuantState, dequantize_4bit, int8_vectorwise_dequant) of
 * github.com/bitsandbytes-foundation/bitsandbytes.
 */
export const bitsandbytes: StorageKind = {
  name: 'bitsandbytes',
  async open(context) {
    const { stored, quantization } = context
    const isSaid = quantization?.['quant_method'] === 'bitsandbytes'
    const isHere = stored.names.some((name) => name.endsWith('.weight.absmax') || name.endsWith('.SCB'))
    if (isSaid || (isHere && quantization === undefined)) requireScales(stored)
    if (!isHere || (quantization !== undefined && !isSaid)) return undefined
    const modules = await Promise.all(
      stored.names
        .filter((name) => name.endsWith('.weight.absmax'))
        .map((name) => fourBits(context, name.slice(0, -'.absmax'.length))),
    )
    const rows = stored.names.filter((name) => name.endsWith('.SCB')).map((name) => eightBits(stored, name))
    return storageOfModules(stored, [...modules, ...rows], (name) => details.test(name))
  },
}

/** Codes without what they are multiplied by. @throws MqError TENSOR_MISSING. */
function requireScales(stored: StoredTensors): void {
  for (const name of stored.names) {
    if (!name.endsWith('.weight')) continue
    const { dtype, shape } = stored.get(name) ?? {}
    const scale = `${name.slice(0, -'.weight'.length)}.SCB`
    if (dtype === 'I8' && stored.get(scale) === undefined)
      throw MqError.of('TENSOR_MISSING', { path: stored.path, tensor: scale })
    // Packed codes are one column of bytes.
    const isPacked = dtype === 'U8' && shape?.length === 2 && shape[1] === 1
    if (isPacked && stored.get(`${name}.absmax`) === undefined) {
      throw MqError.of('TENSOR_MISSING', { path: stored.path, tensor: `${name}.absmax` })
    }
  }
}

async function fourBits({ stored, bytesOf }: StorageContext, weight: string): Promise<Module> {
  const stateName = stored.names.find((name) => name.startsWith(`${weight}.quant_state`) && stateSuffix.test(name))
  if (stateName === undefined) {
    throw MqError.of('TENSOR_MISSING', { path: stored.path, tensor: `${weight}.quant_state.bitsandbytes__nf4` })
  }
  const state = readState(await bytesOf(stateName), stored.path, stateName)
  requireShape(stored, weight)
  return { weight, anchor: weight, shape: state.shape, build: () => fourBitValues(stored, weight, state) }
}

function readState(bytes: Uint8Array, path: string, name: string): State {
  try {
    const parsed = v.safeParse(stateSchema, parseJsonText(bytes))
    if (parsed.success) return parsed.output
  } catch (error) {
    if (!(error instanceof JsonProblem)) throw error
  }
  throw MqError.of('STORAGE_UNSUPPORTED', {
    file: path,
    storage: `bitsandbytes with a quant_state that cannot be read (tensor ${name})`,
    advice: 'Use the original checkpoint, before it was quantized',
  })
}

function fourBitValues(
  stored: StoredTensors,
  weight: string,
  { shape, blocksize, nested_blocksize, nested_offset }: State,
): Recipe {
  const blocks = (shape[0] * shape[1]) / blocksize
  const wide: Shape = [blocks, blocksize]
  if (!Number.isInteger(blocks) || blocksize % 2 !== 0) {
    throw MqError.of('TENSOR_SHAPE', {
      tensor: weight,
      shape: `[${shape.join(', ')}]`,
      expected: `whole blocks of ${blocksize} values`,
    })
  }
  const codes = unpack(stored.packed(weight), { bits: 4, along: 1, packed: [blocks, blocksize / 2], values: wide, order: [1, 0] })
  const values = lookup(codes, vector(stored, `${weight}.quant_map`, 16))
  const absmax = absmaxOf(stored, weight, blocks, nested_blocksize ?? undefined, Math.fround(nested_offset ?? 0))
  return reshape(combine('product', values, expand(absmax, 1, blocksize, wide)), shape)
}

/** One for each block, as a column. */
function absmaxOf(stored: StoredTensors, weight: string, blocks: number, nested: number | undefined, offset: number): Recipe {
  const name = `${weight}.absmax`
  requireCount(stored, name, blocks)
  if (stored.get(name)?.dtype !== 'U8') return reshape(stored.floats(name), [blocks, 1])
  if (nested === undefined) throw MqError.of('TENSOR_MISSING', { path: stored.path, tensor: `${weight}.nested_absmax` })
  const codes = lookup(reshape(stored.as(name, 'U8'), [blocks, 1]), vector(stored, `${weight}.nested_quant_map`, 256))
  requireCount(stored, `${weight}.nested_absmax`, Math.ceil(blocks / nested))
  const outer = stored.floats(`${weight}.nested_absmax`)
  const scales = expand(reshape(outer, [Math.ceil(blocks / nested), 1]), nested, 1, [blocks, 1])
  return add(combine('product', codes, scales), offset)
}

/** A codebook. @throws MqError TENSOR_SHAPE where it has not a value for each code. */
function vector(stored: StoredTensors, name: string, codes: number): Recipe {
  requireCount(stored, name, codes)
  return reshape(stored.floats(name), [codes])
}

function eightBits(stored: StoredTensors, scale: string): Module {
  const weight = `${scale.slice(0, -'.SCB'.length)}.weight`
  const shape = requireShape(stored, weight)
  const { dtype } = stored.get(weight) ?? {}
  if (dtype !== 'I8') {
    throw MqError.of('STORAGE_UNSUPPORTED', {
      file: stored.path,
      storage: `bitsandbytes, 8 bits, and has ${scale} beside a weight of ${dtype}`,
      advice: 'Use the original checkpoint, before it was quantized',
    })
  }
  return {
    weight,
    anchor: weight,
    shape,
    build() {
      const [rows = 0, columns = 0] = shape
      requireCount(stored, scale, rows)
      const scaled = combine('product', stored.as(weight, 'I8'), overColumns(stored.floats(scale), shape, scale))
      return combine('product', scaled, expand(constant([int8Step], [1, 1]), rows, columns, shape))
    },
  }
}
