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
  const { tensors } = await openGguf(output)
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
