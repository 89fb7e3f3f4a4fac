import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { openCodec } from '../../../formats/ggml/codec.js'
import { openGguf } from '../../../formats/gguf/index.js'
import { makeBlueprint } from '../../../src/model/convert/index.js'
import { makePlan, type PlanRequest, typicalMeasure } from '../../../src/plan/index.js'
import { finish } from '../../../src/progress/index.js'
import { quantize } from '../../../src/quantize/index.js'
import { blocksOf } from '../../../src/recipe/index.js'
import { writeTinyCheckpoint } from '../../support/tiny-checkpoint.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-held-integers-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const weight = 'model.layers.0.mlp.down_proj.weight'
const [rows, columns] = [32, 64]
const codes = Uint8Array.from({ length: (rows * columns) / 2 }, (_, at) => (at * 73 + 11) & 0xff)
/** Bits of BF16: 0.015625 and a little more for each block, the last of them negative. */
const scaleOf = (block: number): number => (0x3c80 + block) | (block === 63 ? 0x8000 : 0)

/** A checkpoint as compressed-tensors packs integers: Kimi K2 Thinking and its kin. @param scale bits of the first scale. */
async function writePacked(path: string, scale = scaleOf(0)): Promise<void> {
  const weights = { num_bits: 4, type: 'int', symmetric: true, strategy: 'group', group_size: 32 }
  await writeTinyCheckpoint(path, ({ config, tensors }) => {
    config['quantization_config'] = {
      quant_method: 'compressed-tensors',
      format: 'pack-quantized',
      config_groups: { group_0: { targets: ['Linear'], weights } },
    }
    tensors.delete(weight)
    const put = (name: string, dtype: 'I32' | 'BF16' | 'I64', shape: readonly number[], data: Uint8Array): void => {
      tensors.set(name, { name, dtype, shape, data })
    }
    const scales = Uint16Array.from({ length: 64 }, (_, block) => (block === 0 ? scale : scaleOf(block)))
    put(`${weight}_packed`, 'I32', [rows, columns / 8], codes)
    put(`${weight}_scale`, 'BF16', [rows, 2], new Uint8Array(scales.buffer))
    put(`${weight}_shape`, 'I64', [2], new Uint8Array(BigInt64Array.of(BigInt(rows), BigInt(columns)).buffer))
  })
}

interface GptqOptions {
  readonly zeros?: number
  readonly columnsOf?: (column: number) => number
  readonly sym?: boolean | undefined
  readonly desc_act?: boolean
}

/**
 * The same codes as GPTQ packs them, [in, out], with a scale of F16 for each 32 inputs of an output.
 * @param words of qzeros, each the zero points of 8 outputs less one; group numbers of the inputs.
 */
async function writeGptq(
  path: string,
  { zeros = 0x77777777, columnsOf = (at: number) => at >> 5, ...config }: GptqOptions = {},
): Promise<void> {
  await writeTinyCheckpoint(path, ({ config: fields, tensors }) => {
    fields['quantization_config'] = { quant_method: 'gptq', bits: 4, group_size: 32, sym: true, desc_act: false, ...config }
    tensors.delete(weight)
    const base = weight.slice(0, -'.weight'.length)
    const put = (name: string, dtype: 'I32' | 'F16', shape: readonly number[], data: Uint32Array | Uint16Array): void => {
      tensors.set(`${base}.${name}`, { name: `${base}.${name}`, dtype, shape, data: new Uint8Array(data.buffer) })
    }
    const words = new Uint32Array((columns / 8) * rows)
    for (let at = 0; at < rows * columns; at++) {
      const [row, column] = [Math.floor(at / columns), at % columns]
      const code = ((codes[at >> 1] as number) >> (4 * (at & 1))) & 15
      const word = (column >> 3) * rows + row
      words[word] = (words[word] as number) | (code << (4 * (column & 7)))
    }
    put('qweight', 'I32', [columns / 8, rows], words)
    put('qzeros', 'I32', [2, rows / 8], new Uint32Array((2 * rows) / 8).fill(zeros))
    put(
      'scales',
      'F16',
      [2, rows],
      Uint16Array.from({ length: 2 * rows }, (_, at) => halfOf(2 * (at % rows) + Math.floor(at / rows))),
    )
    put(
      'g_idx',
      'I32',
      [columns],
      Uint32Array.from({ length: columns }, (_, at) => columnsOf(at)),
    )
  })
}
/** Bits of F16 of the scale that `scaleOf` gives as BF16: 0.015625 and 1/128 of it for each block, the last of them negative. */
const halfOf = (block: number): number => (0x2400 + 8 * block) | (block === 63 ? 0x8000 : 0)

const float = (bits: number): number => new Float32Array(Uint32Array.of(bits << 16).buffer)[0] as number
const expected = Array.from({ length: rows * columns }, (_, at) => {
  const code = ((codes[at >> 1] as number) >> (4 * (at & 1))) & 15
  return (code - 8) * float(scaleOf(at >> 5)) + 0
})

async function made(path: string, request: PlanRequest): Promise<{ type: string; values: number[] }> {
  const blueprint = await makeBlueprint(path)
  const plan = await finish(makePlan(blueprint, request, { measure: typicalMeasure }))
  const output = `${path}.gguf`
  await finish(quantize({ blueprint, plan, output, force: true, threads: 1 }))
  const file = await openGguf(output)
  const { tensors } = file
  await file.close()
  const found = tensors.find(({ name }) => name === 'blk.0.ffn_down.weight') ?? expect.fail('no such tensor')
  const bytes = (await readFile(output)).subarray(found.start, found.end)
  const codec = await openCodec()
  const values = codec.dequantize(found.type, Uint8Array.from(bytes), rows * columns)
  return { type: found.type, values: [...values].map((value) => value + 0) }
}

it.each<[string, PlanRequest, string]>([
  ['a budget that could spend more', { kind: 'bits', bits: 12 }, 'Q4_0'],
  ['their type asked for', { kind: 'type', type: 'Q4_0' }, 'Q4_0'],
  ['another type asked for', { kind: 'type', type: 'F16' }, 'F16'],
])('symmetric integers of 4 bits keep their values with %s', async (name, request, type) => {
  const path = join(folder, name.replaceAll(' ', '-'))
  await writePacked(path)
  expect(await made(path, request)).toEqual({ type, values: expected })
})

it.each<[string, PlanRequest, string]>([
  ['a budget that could spend more', { kind: 'bits', bits: 12 }, 'Q4_0'],
  ['their type asked for', { kind: 'type', type: 'Q4_0' }, 'Q4_0'],
  ['another type asked for', { kind: 'type', type: 'F16' }, 'F16'],
])('symmetric integers of GPTQ keep their values with %s', async (name, request, type) => {
  const path = join(folder, `gptq-${name.replaceAll(' ', '-')}`)
  await writeGptq(path)
  expect(await made(path, request)).toEqual({ type, values: expected })
})

it('integers of GPTQ that may be asymmetric or in another order are no blocks of Q4_0', async () => {
  const path = join(folder, 'gptq-others')
  for (const config of [{ sym: false }, { desc_act: true }, { sym: undefined }]) {
    await writeGptq(path, config)
    const { tensors } = await makeBlueprint(path)
    const { recipe } = tensors.find(({ name }) => name === 'blk.0.ffn_down.weight') ?? expect.fail('no such tensor')
    expect(blocksOf(recipe)).toBeUndefined()
  }
})

it.each([
  ['zero points', { zeros: 0x77777776 }],
  ['groups', { columnsOf: (at: number) => (at >> 5) ^ 1 }],
])('%s of GPTQ that are not what its config says are refused as Q4_0, and kept in other types', async (name, other) => {
  const path = join(folder, `gptq-${name.replace(' ', '-')}`)
  await writeGptq(path, other)
  await expect(made(path, { kind: 'type', type: 'Q4_0' })).rejects.toMatchObject({ code: 'STORAGE_UNSUPPORTED' })
  const { type, values } = await made(path, { kind: 'type', type: 'F16' })
  expect(type).toBe('F16')
  expect(values).not.toEqual(expected)
})

it('a scale that F16 does not hold is refused by the name of the tensor', async () => {
  const path = join(folder, 'small-scale')
  await writePacked(path, 0x3580)
  await expect(made(path, { kind: 'bits', bits: 12 })).resolves.toMatchObject({ type: 'Q4_0' })
  await writePacked(path, 0x3081)
  await expect(made(path, { kind: 'bits', bits: 12 })).rejects.toMatchObject({
    code: 'STORAGE_UNSUPPORTED',
    message: expect.stringContaining('blk.0.ffn_down.weight'),
    suggestion: expect.stringContaining('another type'),
  })
})
