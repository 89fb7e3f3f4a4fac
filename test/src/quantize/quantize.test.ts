import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openCodec } from '../../../formats/ggml/codec.js'
import { openGguf } from '../../../formats/gguf/index.js'
import type { MqError } from '../../../src/errors/index.js'
import type { Blueprint } from '../../../src/model/blueprint.js'
import type { Plan } from '../../../src/plan/plan.js'
import { finish } from '../../../src/progress/index.js'
import { quantize } from '../../../src/quantize/index.js'
import { ggml } from '../../../src/recipe/index.js'
import { oracle } from '../../support/ggml-oracle.js'
import { smallModel, smallPlan, wave } from '../../support/small-model.js'

let folder = ''
let output = ''

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-quantize-'))
  output = join(folder, 'out', 'model.gguf')
  await mkdir(join(folder, 'out'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const left = (): Promise<string[]> => readdir(join(folder, 'out'))

/** The smallest limit on memory that is accepted, as the refusal of a smaller one names it. */
async function minMemory(blueprint: Blueprint, plan: Plan): Promise<number> {
  const refused = await finish(quantize({ blueprint, plan, output, memoryBytes: 1 })).catch((error: unknown) => error)
  expect(refused).toMatchObject({ code: 'MEMORY_TOO_SMALL', details: { asked: 1 } })
  // What the test process itself holds changes from moment to moment.
  return Number((refused as MqError).details['least']) + 2 ** 25
}

/** Number of files, bytes and statistics of a plan on 1, 2 and 5 threads and within the least memory: each once. */
async function resultsHoweverRun(
  blueprint: Blueprint,
  plan: Plan,
  options: { readonly splitMaxBytes?: number } = {},
): Promise<{ readonly files: number; readonly results: number }> {
  let written = 0
  const seen = new Set<string>()
  for (const threads of [1, 2, 5, 'little memory'] as const) {
    // Asked for only now: what this process holds grows with every run.
    const how = threads === 'little memory' ? { threads: 2, memoryBytes: await minMemory(blueprint, plan) } : { threads }
    const { files, tensors } = await finish(quantize({ blueprint, plan, output, force: true, ...options, ...how }))
    const hash = createHash('sha256')
    for (const file of files) hash.update(await readFile(file))
    const statistics = tensors.map((tensor) => ({ ...tensor, seconds: 0 }))
    seen.add(JSON.stringify([files.length, hash.digest('hex'), statistics]))
    written = files.length
  }
  return { files: written, results: seen.size }
}

async function tensorBytes(path: string, name: string): Promise<Uint8Array> {
  const gguf = await openGguf(path)
  try {
    const tensor = gguf.tensors.find((tensor) => tensor.name === name)
    if (tensor === undefined) throw new Error(`no ${name}`)
    return (await gguf.sources[tensor.file]?.slice(tensor.start, tensor.end)) ?? new Uint8Array()
  } finally {
    await gguf.close()
  }
}

describe('the file', () => {
  test('holds every value at its place, in the order of the blueprint', async () => {
    const blueprint = await smallModel(folder, [
      { name: 'token_embd.weight', shape: [700, 1024] },
      { name: 'output_norm.weight', shape: [1024], keepF32: true },
      { name: 'blk.0.ffn_up_exps.weight', shape: [3, 5, 96], stacked: true },
    ])
    const result = await finish(quantize({ blueprint, plan: smallPlan(blueprint, 'F32'), output, threads: 2 }))
    expect(await left()).toEqual(['model.gguf'])
    const gguf = await openGguf(output)
    expect(gguf.tensors.map(({ name, dimensions }) => [name, dimensions])).toEqual([
      ['token_embd.weight', [1024, 700]],
      ['output_norm.weight', [1024]],
      ['blk.0.ffn_up_exps.weight', [96, 5, 3]],
    ])
    expect([...gguf.metadata]).toEqual([
      ['general.architecture', { type: 'string', value: 'llama' }],
      ['llama.block_count', { type: 'uint32', value: 1 }],
      ['general.file_type', { type: 'uint32', value: 7 }],
      ['general.quantization_version', { type: 'uint32', value: 2 }],
      ['tokenizer.ggml.model', { type: 'string', value: 'gpt2' }],
    ])
    await gguf.close()
    for (const [index, { name }] of blueprint.tensors.entries()) {
      expect(Buffer.compare(await tensorBytes(output, name), await readFile(blueprint.files[index] as string))).toBe(0)
    }
    expect(result.sizeBytes).toBe((await readFile(output)).byteLength)
    expect(result.bitsPerWeight).toBe(32)
    expect(result.tensors.map(({ relativeError, cosine, maxError }) => [relativeError, cosine, maxError])).toEqual(
      Array.from({ length: 3 }, () => [0, 1, 0]),
    )
  })

  test.each([
    { what: 'one file', split: {}, files: 1 },
    { what: 'shards', split: { splitMaxBytes: 500_000 }, files: 2 },
  ])('is the same for 1, 2 and 5 threads and for little memory, with the same statistics ($what)', async ({ split, files }) => {
    const blueprint = await smallModel(folder, [
      { name: 'a.weight', shape: [1500, 1024] },
      { name: 'b.weight', shape: [7, 300, 256], stacked: true },
    ])
    const plan = smallPlan(blueprint, 'Q8_0', { 'b.weight': 'F16' })
    expect(await resultsHoweverRun(blueprint, plan, split)).toEqual({ files, results: 1 })
  })

  test('is the same for 1, 2 and 5 threads and for little memory from blocks of a GGUF file', async () => {
    const blueprint = await smallModel(folder, [{ name: 'a.weight', shape: [1500, 1024] }])
    const stored = join(folder, 'q8.gguf')
    await finish(quantize({ blueprint, plan: smallPlan(blueprint, 'Q8_0'), output: stored }))
    const gguf = await openGguf(stored)
    const [tensor] = gguf.tensors
    await gguf.close()
    const recipe = ggml('Q8_0', { file: 0, start: tensor?.start ?? 0, end: tensor?.end ?? 0 }, [1500, 1024])
    const source = { ...blueprint, files: [stored], tensors: blueprint.tensors.map((a) => ({ ...a, recipe })) }
    expect(await resultsHoweverRun(source, smallPlan(source, 'Q4_K'))).toEqual({ files: 1, results: 1 })
  })

  test.skipIf(!oracle.available)(
    `is what ggml makes of the same values, and so are the statistics (${oracle.name})`,
    async () => {
      const values = wave(700 * 1024)
      const blueprint = await smallModel(folder, [{ name: 'a.weight', shape: [700, 1024], values }])
      const result = await finish(quantize({ blueprint, plan: smallPlan(blueprint, 'Q8_0'), output, threads: 2 }))
      const blocks = oracle.quantize('Q8_0', values, 1024)
      expect(Buffer.compare(await tensorBytes(output, 'a.weight'), blocks)).toBe(0)

      const stored = oracle.dequantize('Q8_0', blocks, values.length)
      const sum = (term: (x: number, y: number) => number): number =>
        values.reduce((total, x, index) => total + term(x, stored[index] as number), 0)
      const norms = Math.sqrt(sum((x) => x * x) * sum((_, y) => y * y))
      const [tensor] = result.tensors
      expect(tensor?.relativeError).toBeCloseTo(sum((x, y) => (x - y) ** 2) / sum((x) => x * x), 12)
      expect(tensor?.cosine).toBeCloseTo(sum((x, y) => x * y) / norms, 12)
      expect(tensor?.maxError).toBe(values.reduce((most, x, index) => Math.max(most, Math.abs(x - (stored[index] as number))), 0))
    },
  )

  test('copies blocks that have their type already', async () => {
    const blocks = Uint8Array.from({ length: 34 * 6 }, (_, index) => (index % 34 === 1 ? 0x3c : index % 34 === 0 ? 1 : index))
    await writeFile(join(folder, 'blocks'), blocks)
    const blueprint = await smallModel(folder, [{ name: 'a.weight', shape: [3, 64] }])
    const recipe = ggml('Q8_0', { file: 0, start: 0, end: blocks.length }, [3, 64])
    const source = { ...blueprint, files: [join(folder, 'blocks')], tensors: blueprint.tensors.map((a) => ({ ...a, recipe })) }
    await finish(quantize({ blueprint: source, plan: smallPlan(source, 'Q8_0'), output, threads: 1 }))
    expect(Buffer.compare(await tensorBytes(output, 'a.weight'), blocks)).toBe(0)
  })

  test('spends the effort that is asked for', async () => {
    const values = wave(4 * 256)
    const blueprint = await smallModel(folder, [{ name: 'a.weight', shape: [4, 256], values }])
    const plan = smallPlan(blueprint, 'Q2_K')
    const codec = await openCodec()
    for (const effort of ['best', 'fast'] as const) {
      await finish(quantize({ blueprint, plan, output, force: true, effort, threads: 1 }))
      const blocks = codec.quantize('Q2_K', values, 256, undefined, effort)
      expect(Buffer.compare(await tensorBytes(output, 'a.weight'), blocks)).toBe(0)
      expect(Buffer.compare(blocks, codec.quantize('Q2_K', values, 256))).not.toBe(0)
    }
  })

  test('weighs columns by their importance, expert by expert', async () => {
    const values = wave(2 * 3 * 256)
    const blueprint = await smallModel(folder, [{ name: 'a.weight', shape: [2, 3, 256], values, stacked: true }])
    const plan = smallPlan(blueprint, 'Q4_K')
    const weights = Float32Array.from({ length: 512 }, (_, index) => (index < 256 ? 1 + (index % 7) : 100 / (1 + (index % 31))))
    const codec = await openCodec()
    const blocksOf = (expert: number, importance: Float32Array): Uint8Array =>
      codec.quantize('Q4_K', values.subarray(expert * 768, (expert + 1) * 768), 256, importance)

    await finish(quantize({ blueprint, plan, output, importance: () => weights }))
    const own = [blocksOf(0, weights.subarray(0, 256)), blocksOf(1, weights.subarray(256))]
    expect(Buffer.compare(await tensorBytes(output, 'a.weight'), Buffer.concat(own))).toBe(0)

    await finish(quantize({ blueprint, plan, output, force: true, importance: () => weights.subarray(256) }))
    const shared = [0, 1].map((expert) => blocksOf(expert, weights.subarray(256)))
    expect(Buffer.compare(await tensorBytes(output, 'a.weight'), Buffer.concat(shared))).toBe(0)
    expect(Buffer.compare(Buffer.concat(shared), Buffer.concat(own))).not.toBe(0)

    const wrong = quantize({ blueprint, plan, output, force: true, importance: () => new Float32Array(65) })
    await expect(finish(wrong)).rejects.toMatchObject({ code: 'IMPORTANCE_MISMATCH' })
  })

  test('progress ends at the size of the data', async () => {
    const blueprint = await smallModel(folder, [{ name: 'a.weight', shape: [3000, 256] }])
    const events: number[] = []
    const work = quantize({ blueprint, plan: smallPlan(blueprint, 'Q8_0'), output, threads: 2 })
    await finish(work, ({ done, total, unit, stage }) => {
      expect({ total, unit, stage }).toEqual({ total: (3000 * 256 * 34) / 32, unit: 'bytes', stage: 'quantize' })
      events.push(done)
    })
    expect(events.at(-1)).toBe((3000 * 256 * 34) / 32)
    expect(events).toEqual(events.toSorted((a, b) => a - b))
  })
})

describe('bad weights', () => {
  test('NaN and infinity are named with tensor and row', async () => {
    const values = wave(3 * 4 * 64)
    values[64 * 9 + 5] = Number.NaN
    const blueprint = await smallModel(folder, [{ name: 'a.weight', shape: [3, 4, 64], values, stacked: true }])
    const work = finish(quantize({ blueprint, plan: smallPlan(blueprint, 'Q8_0'), output }))
    await expect(work).rejects.toMatchObject({ code: 'TENSOR_NOT_FINITE', details: { tensor: 'a.weight', row: 9 } })
    expect(await left()).toEqual([])
  })

  test('weights beyond the type are named, not stored as infinity', async () => {
    const values = wave(4 * 64)
    values[64 * 2] = 1e6
    const blueprint = await smallModel(folder, [{ name: 'a.weight', shape: [4, 64], values }])
    const work = finish(quantize({ blueprint, plan: smallPlan(blueprint, 'F16'), output }))
    await expect(work).rejects.toMatchObject({ code: 'TENSOR_OVERFLOW', details: { tensor: 'a.weight', row: 2, type: 'F16' } })
    expect(await left()).toEqual([])
  })

  test('an input that ends early is named', async () => {
    const blueprint = await smallModel(folder, [{ name: 'a.weight', shape: [4, 64] }])
    await writeFile(blueprint.files[0] as string, new Uint8Array(100))
    const work = finish(quantize({ blueprint, plan: smallPlan(blueprint, 'F16'), output }))
    await expect(work).rejects.toMatchObject({ code: 'INPUT_TRUNCATED' })
    expect(await left()).toEqual([])
  })
})

describe('places that cannot be written', () => {
  const attempt = async (path: string, force = false): Promise<unknown> => {
    const blueprint = await smallModel(folder, [{ name: 'a.weight', shape: [4, 64] }])
    return finish(quantize({ blueprint, plan: smallPlan(blueprint, 'F32'), output: path, force }))
  }

  test('an existing file is kept, but with force', async () => {
    await writeFile(output, 'precious')
    await expect(attempt(output)).rejects.toMatchObject({ code: 'OUTPUT_EXISTS' })
    expect(await readFile(output, 'utf8')).toBe('precious')
    await attempt(output, true)
    expect((await readFile(output)).subarray(0, 4).toString()).toBe('GGUF')
    expect(await left()).toEqual(['model.gguf'])
  })

  test('an input is never the output, even with force and under another name', async () => {
    await symlink(join(folder, 'a.weight.f32'), output)
    await expect(attempt(output, true)).rejects.toMatchObject({ code: 'FILE_UNWRITABLE' })
  })

  test.each([
    ['a missing folder', () => join(folder, 'missing', 'model.gguf')],
    ['a file for a folder', () => join(folder, 'a.weight.f32', 'model.gguf')],
    ['a folder for a file', () => join(folder, 'out')],
    ['a name that is too long', () => join(folder, `${'x'.repeat(300)}.gguf`)],
  ])('%s', async (_, path) => {
    await expect(attempt(path())).rejects.toMatchObject({ code: 'FILE_UNWRITABLE' })
  })

  test.skipIf(process.platform !== 'linux')('a folder that takes no files, not even from root (needs Linux)', async () => {
    await expect(attempt('/sys/model.gguf')).rejects.toMatchObject({ code: 'FILE_UNWRITABLE' })
  })

  const canMount = process.platform === 'linux' && process.getuid?.() === 0
  describe.skipIf(!canMount)('a full disk (needs root on Linux, to mount a small one)', () => {
    const mount = async (size: string): Promise<void> => {
      await execa('/bin/mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', join(folder, 'out')])
    }
    afterEach(() => execa('/bin/umount', [join(folder, 'out')]))

    test('is noticed before the first byte', async () => {
      await mount('64k')
      const blueprint = await smallModel(folder, [{ name: 'a.weight', shape: [400, 64] }])
      const work = finish(quantize({ blueprint, plan: smallPlan(blueprint, 'F32'), output }))
      // The lock takes a page or so.
      const available = expect.toSatisfy((n) => n > 40_000 && n <= 65_536)
      const details = { path: output, needed: expect.toSatisfy((n) => n > 102_400), available }
      await expect(work).rejects.toMatchObject({ code: 'DISK_FULL', details })
      expect(await left()).toEqual([])
    })

    test('is noticed in the middle, and the work goes on when there is room again', async () => {
      await mount('36m')
      const blueprint = await smallModel(folder, [{ name: 'a.weight', shape: [16_384, 512] }])
      const options = { blueprint, plan: smallPlan(blueprint, 'F32'), output, threads: 1 }
      let begun = false
      const full = finish(quantize(options), () => {
        if (begun) return
        begun = true
        // All of it fitted when the work began; something else takes the room at once, before the next range is handed out.
        try {
          writeFileSync(join(folder, 'out', 'other'), new Uint8Array(34 * 2 ** 20))
        } catch {
          // it is as much as there was
        }
      })
      await expect(full).rejects.toMatchObject({ code: 'DISK_FULL' })
      expect((await left()).toSorted()).toEqual(['model.gguf.partial', 'model.gguf.partial.journal', 'other'])

      // Still full: what is there is kept, and counted.
      const before = (await stat(`${output}.partial`)).blocks
      await expect(finish(quantize(options))).rejects.toMatchObject({ code: 'DISK_FULL' })
      expect((await stat(`${output}.partial`)).blocks).toBe(before)

      await rm(join(folder, 'out', 'other'))
      const { resumedBytes } = await finish(quantize(options))
      expect(resumedBytes).toBeGreaterThan(0)
      expect(await left()).toEqual(['model.gguf'])
      expect(Buffer.compare(await tensorBytes(output, 'a.weight'), await readFile(blueprint.files[0] as string))).toBe(0)
    })
  })
})

test('an interruption before the beginning does nothing', async () => {
  const blueprint = await smallModel(folder, [{ name: 'a.weight', shape: [4, 64] }])
  const work = quantize({ blueprint, plan: smallPlan(blueprint, 'Q8_0'), output, signal: AbortSignal.abort() })
  await expect(finish(work)).rejects.toMatchObject({ code: 'INTERRUPTED' })
  expect(await left()).toEqual([])
})
