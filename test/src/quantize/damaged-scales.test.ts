import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SafetensorsDtype } from '../../../formats/safetensors/index.js'
import { makeBlueprint } from '../../../src/model/convert/index.js'
import { makePlan } from '../../../src/plan/index.js'
import { finish } from '../../../src/progress/index.js'
import { assembleParts, type QuantizeOptions, quantize, quantizePart } from '../../../src/quantize/index.js'
import { writeTinyCheckpoint } from '../../support/tiny-checkpoint.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-damaged-scales-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const weight = 'model.layers.0.mlp.down_proj.weight'
const base = weight.slice(0, -'.weight'.length)
const [rows, columns] = [32, 64]

type Stored = readonly [name: string, dtype: SafetensorsDtype, shape: readonly number[], data: ArrayBufferView]
const fill = (length: number, byte: number): Uint8Array => new Uint8Array(length).fill(byte)
const floats = (length: number, value: number): Float32Array => new Float32Array(length).fill(value)
/** Bits of F16. */
const halves: ReadonlyMap<number, number> = new Map([
  [0, 0],
  [1, 0x3c00],
  [Number.NaN, 0x7e00],
  [Number.POSITIVE_INFINITY, 0x7c00],
])
const half = (length: number, value: number): Uint16Array => new Uint16Array(length).fill(halves.get(value) as number)
/** E8M0 of a power of two; it has no zero but 2^-127, and no infinity but NaN. */
const exponent = (value: number): number => (Number.isFinite(value) ? (value === 0 ? 0 : 127 + Math.log2(value)) : 255)
const group = (weights: object, format: string): object => ({
  quant_method: 'compressed-tensors',
  format,
  config_groups: { group_0: { targets: ['Linear'], weights } },
})
const state = Buffer.from(JSON.stringify({ blocksize: 64, shape: [rows, columns], dtype: 'bfloat16', quant_type: 'nf4' }))

/** @param sym whether Q4_0 holds the integers as they are. */
function gptq(scale: number, sym: boolean): { readonly section: object; readonly tensors: readonly Stored[] } {
  return {
    section: { quant_method: 'gptq', bits: 4, group_size: 32, sym, desc_act: false },
    tensors: [
      [`${base}.qweight`, 'I32', [columns / 8, rows], fill((rows * columns) / 2, 0x99)],
      [`${base}.qzeros`, 'I32', [columns / 32, rows / 8], fill((columns / 32) * (rows / 2), 0x77)],
      [`${base}.scales`, 'F16', [columns / 32, rows], half((columns / 32) * rows, scale)],
      [`${base}.g_idx`, 'I32', [columns], Int32Array.from({ length: columns }, (_, at) => at >> 5)],
    ],
  }
}

/** A matrix as each storage keeps it, with codes that are not zero and all scales of one value. */
const storages: Readonly<Record<string, (scale: number) => { readonly section: object; readonly tensors: readonly Stored[] }>> = {
  'FP8 by tensor': (scale) => ({
    section: { quant_method: 'fp8', fmt: 'e4m3' },
    tensors: [
      [weight, 'F8_E4M3', [rows, columns], fill(rows * columns, 0x38)],
      [`${weight}_scale_inv`, 'F32', [], floats(1, scale)],
    ],
  }),
  'FP8 by block': (scale) => ({
    section: { quant_method: 'fp8', fmt: 'e4m3', weight_block_size: [16, 16] },
    tensors: [
      [weight, 'F8_E4M3', [rows, columns], fill(rows * columns, 0x38)],
      [`${weight}_scale_inv`, 'F32', [2, 4], floats(8, scale)],
    ],
  }),
  'ModelOpt FP8': (scale) => ({
    section: { quant_method: 'modelopt', quant_algo: 'FP8' },
    tensors: [
      [weight, 'F8_E4M3', [rows, columns], fill(rows * columns, 0x38)],
      [`${weight}_scale`, 'F32', [], floats(1, scale)],
    ],
  }),
  'ModelOpt NVFP4': (scale) => ({
    section: { quant_method: 'modelopt', quant_algo: 'NVFP4', group_size: 16 },
    tensors: [
      [weight, 'U8', [rows, columns / 2], fill((rows * columns) / 2, 0x22)],
      [`${weight}_scale`, 'F8_E4M3', [rows, columns / 16], fill((rows * columns) / 16, 0x38)],
      [`${weight}_scale_2`, 'F32', [], floats(1, scale)],
    ],
  }),
  // Blocks are copied as they are.
  MXFP4: (scale) => ({
    section: { quant_method: 'mxfp4' },
    tensors: [
      [`${weight}_blocks`, 'U8', [rows, columns / 32, 16], fill((rows * columns) / 2, 0x22)],
      [`${weight}_scales`, 'U8', [rows, columns / 32], fill((rows * columns) / 32, exponent(scale))],
    ],
  }),
  'compressed-tensors, integers': (scale) => ({
    section: group({ num_bits: 8, type: 'int', symmetric: true, strategy: 'channel' }, 'int-quantized'),
    tensors: [
      [weight, 'I8', [rows, columns], fill(rows * columns, 3)],
      [`${weight}_scale`, 'F32', [rows, 1], floats(rows, scale)],
    ],
  }),
  GPTQ: (scale) => gptq(scale, false),
  'GPTQ, symmetric': (scale) => gptq(scale, true),
  AWQ: (scale) => ({
    section: { quant_method: 'awq', bits: 4, group_size: 32, version: 'gemm' },
    tensors: [
      [`${base}.qweight`, 'I32', [columns, rows / 8], fill((rows * columns) / 2, 0x99)],
      [`${base}.qzeros`, 'I32', [columns / 32, rows / 8], fill((columns / 32) * (rows / 2), 0x77)],
      [`${base}.scales`, 'F16', [columns / 32, rows], half((columns / 32) * rows, scale)],
    ],
  }),
  'bitsandbytes, 4 bits': (scale) => ({
    section: { quant_method: 'bitsandbytes', load_in_4bit: true },
    tensors: [
      [weight, 'U8', [(rows * columns) / 2, 1], fill((rows * columns) / 2, 0x99)],
      [`${weight}.absmax`, 'F32', [(rows * columns) / 64], floats((rows * columns) / 64, scale)],
      [`${weight}.quant_map`, 'F32', [16], Float32Array.from({ length: 16 }, (_, code) => (code - 7) / 8)],
      [`${weight}.quant_state.bitsandbytes__nf4`, 'U8', [state.length], state],
    ],
  }),
  'bitsandbytes, 8 bits': (scale) => ({
    section: { quant_method: 'bitsandbytes', load_in_8bit: true },
    tensors: [
      [weight, 'I8', [rows, columns], fill(rows * columns, 3)],
      [`${base}.SCB`, 'F32', [rows], floats(rows, scale)],
    ],
  }),
}

/** Quantizes a checkpoint in which one matrix is kept in that way. @returns the notes. */
async function notesOf(storage: string, scale: number): Promise<readonly string[]> {
  return (await finish(quantize(await optionsOf(storage, scale, 'Q8_0')))).notes
}

/** How to quantize a checkpoint in which one matrix is kept in that way. */
async function optionsOf(storage: string, scale: number, type: 'Q8_0' | 'Q4_0'): Promise<QuantizeOptions> {
  const path = join(folder, `${storage} ${scale} ${type}`.replaceAll(/\W+/g, '-'))
  await writeTinyCheckpoint(path, ({ config, tensors }) => {
    const { section, tensors: stored } = (storages[storage] as (scale: number) => ReturnType<(typeof storages)[string]>)(scale)
    config['quantization_config'] = section
    tensors.delete(weight)
    for (const [name, dtype, shape, { buffer, byteOffset, byteLength }] of stored) {
      tensors.set(name, { name, dtype, shape, data: new Uint8Array(buffer, byteOffset, byteLength) })
    }
  })
  const blueprint = await makeBlueprint(path)
  const plan = await finish(makePlan(blueprint, { kind: 'type', type }))
  return { blueprint, plan, output: `${path}.gguf`, threads: 1, force: true }
}

const zeroNote =
  'All measured weights of a tensor are zero (blk.0.ffn_down.weight): in a quantized source damaged scales look like this.'

describe.each([
  [0, [zeroNote]],
  [1, []],
])('scales of %f', (scale, expected) => {
  const zerosOf = (notes: readonly string[]): string[] => notes.filter((note) => note.includes('zero'))

  it('are seen where integers are copied', async () => {
    const { tensors, notes } = await finish(quantize(await optionsOf('GPTQ, symmetric', scale, 'Q4_0')))
    // What is copied is not measured.
    expect(tensors.find(({ name }) => name === 'blk.0.ffn_down.weight')).toMatchObject({ type: 'Q4_0', measuredWeights: 0 })
    expect(zerosOf(notes)).toEqual(expected)
  })

  it.each(['Q8_0', 'Q4_0'] as const)('are seen where an output in %s is put together from parts', async (type) => {
    const options = await optionsOf('GPTQ, symmetric', scale, type)
    for (const number of [1, 2]) await finish(quantizePart(options, { number, of: 2 }))
    const { notes } = await finish(assembleParts(options, 2))
    expect(zerosOf(notes)).toEqual(expected)
  })
})

describe.each(Object.keys(storages))('scales of %s', (storage) => {
  it('are taken without a word where they are sound', async () => {
    expect((await notesOf(storage, 1)).join('\n')).not.toContain('zero')
  })

  it('that are all zero are noted by the name of the tensor', async () => {
    expect(await notesOf(storage, 0)).toContain(zeroNote)
  })

  it.each([Number.NaN, Number.POSITIVE_INFINITY])('of %s are refused by the name of the tensor', async (scale) => {
    await expect(notesOf(storage, scale)).rejects.toMatchObject({
      code: 'TENSOR_NOT_FINITE',
      message: 'The tensor blk.0.ffn_down.weight has NaN or infinite weights, first in row 0.',
    })
  })
})
