import { createHash } from 'node:crypto'
import type { SafetensorsDtype, SafetensorsInput } from '../../../formats/safetensors/index.js'
import { integers } from '../../random.js'
import type { TensorSpec, ValueRule } from './spec.js'

/**
 * Fills a tensor with values that follow from `seed` and its name alone, on any machine: sums of bytes, no transcendental function.
 * Weights have a deviation of 0.7 / sqrt(columns), norms lie around 1, biases around 0; no two tensors share values, so that a swap
 * shows.
 */
export function fillTensor({ name, shape, dtype }: TensorSpec, seed: string, rules: readonly ValueRule[] = []): SafetensorsInput {
  const length = shape.reduce((product, size) => product * size, 1)
  const next = integers(createHash('sha256').update(`${seed}/${name}`).digest().readUInt32LE(0))
  if (isWhole(dtype)) {
    return {
      name,
      dtype,
      shape,
      data: integerValues(
        dtype,
        length,
        next,
        rules.find(([pattern]) => pattern.test(name)),
      ),
    }
  }
  const [mean, deviation] = distribution(name, shape, rules)
  // Loops, for Float32Array.from with a function takes many times as long, and tests fill some thirty million values.
  const values = new Float32Array(length)
  for (let at = 0; at < length; at++) values[at] = mean + deviation * noise(next())
  return { name, dtype, shape, data: encode(values, dtype) }
}

type WholeType = (typeof wholeTypes)[number]
const wholeTypes = ['I64', 'U8', 'I8', 'F8_E4M3', 'F8_E8M0', 'I32'] as const

function isWhole(dtype: SafetensorsDtype): dtype is WholeType {
  return (wholeTypes as readonly string[]).includes(dtype)
}

/** Bytes of FP8 that are no NaN, zeros for the rest: index tables of a checkpoint are no weights. */
function integerValues(dtype: WholeType, length: number, next: () => number, rule?: ValueRule): Uint8Array {
  if (dtype === 'I64') return new Uint8Array(8 * length)
  if (dtype === 'I32') return new Uint8Array(Uint32Array.from({ length }, next).buffer)
  // Powers of two around a hundredth.
  if (dtype === 'F8_E8M0') return Uint8Array.from({ length }, () => 119 + (next() & 3))
  if (dtype === 'I8') return Uint8Array.from({ length }, () => next() & 0xff)
  if (dtype === 'U8' && rule !== undefined)
    return Uint8Array.from({ length }, () => Math.round(rule[1] + rule[2] * noise(next())))
  if (dtype === 'U8') return Uint8Array.from({ length }, () => next() & 0xff)
  return Uint8Array.from({ length }, () => {
    const code = next() & 0xff
    return (code & 0x7f) === 0x7f ? code - 1 : code
  })
}

/** Mean 0, variance 1: the sum of four bytes. */
function noise(bits: number): number {
  const sum = (bits & 0xff) + ((bits >>> 8) & 0xff) + ((bits >>> 16) & 0xff) + (bits >>> 24)
  return (sum - 510) / 147.8
}

function distribution(name: string, shape: readonly number[], rules: readonly ValueRule[]): readonly [number, number] {
  for (const [pattern, mean, deviation] of rules) if (pattern.test(name)) return [mean, deviation]
  if (/bias/i.test(name)) return [0, 0.1]
  if (shape.length <= 1 || /norm[^/]*\.weight$/i.test(name)) return [1, 0.1]
  if (/emb|wte|wpe|lm_head|output\.weight$/i.test(name)) return [0, 0.25]
  return [0, 0.7 / Math.sqrt(shape.at(-1) as number)]
}

function encode(values: Float32Array, dtype: string): Uint8Array {
  if (dtype === 'F32') return new Uint8Array(values.buffer)
  if (dtype === 'F64') return new Uint8Array(Float64Array.from(values).buffer)
  if (dtype !== 'BF16' && dtype !== 'F16') throw new RangeError(`There are no values of ${dtype}`)
  const bits = new Uint32Array(values.buffer)
  const codes = new Uint16Array(bits.length)
  if (dtype === 'BF16') for (let at = 0; at < bits.length; at++) codes[at] = toBfloat16(bits[at] as number)
  else for (let at = 0; at < bits.length; at++) codes[at] = toFloat16(bits[at] as number)
  return new Uint8Array(codes.buffer)
}

function toBfloat16(bits: number): number {
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff
}

/** Cuts the mantissa off, and what is below 2^-14 to zero: any value of F16 serves. */
function toFloat16(bits: number): number {
  const sign = (bits >>> 16) & 0x8000
  const exponent = ((bits >>> 23) & 0xff) - 112
  return exponent <= 0 ? sign : sign | (Math.min(exponent, 30) << 10) | ((bits >>> 13) & 0x3ff)
}
