import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, open, readdir, readFile, rename, rm, stat, truncate, utimes, watch, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { writeImportanceMatrix } from '../../../../formats/imatrix/index.js'
import { ownIdentity } from '../../../../src/files/index.js'
import type { Blueprint } from '../../../../src/model/blueprint.js'
import { makeBlueprint } from '../../../../src/model/convert/index.js'
import type { Plan } from '../../../../src/plan/plan.js'
import { finish, type Progress } from '../../../../src/progress/index.js'
import { type QuantizeOptions, type QuantizeResult, quantize } from '../../../../src/quantize/quantize.js'
import { fileSha256 } from '../../../support/digests.js'
import { madeUpInputs } from '../../../support/input-covariances.js'
import { runMqHere } from '../../../support/run-mq-here.js'
import { samplePath } from '../../../support/sample-models.js'
import { smallModel, smallPlan } from '../../../support/small-model.js'

let source = ''
let folder = ''
let output = ''
let blueprint: Blueprint
let plan: Plan
/** What the plan gives when nothing happens. */
let undisturbed: Outcome

beforeAll(async () => {
  source = await mkdtemp(join(tmpdir(), 'mq-resume-source-'))
  blueprint = await smallModel(source, [
    { name: 'a.weight', shape: [1400, 1024] },
    { name: 'b.weight', shape: [4, 240, 512], stacked: true },
    { name: 'c.weight', shape: [700, 1024] },
  ])
  // Types that are encoded fast, since what is tested is not the encoding.
  plan = smallPlan(blueprint, 'Q8_0', { 'b.weight': 'Q4_0' })
  folder = source
  undisturbed = await whole({ threads: 2 })
})
afterAll(() => rm(source, { recursive: true, force: true }))

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-resume-'))
  output = join(folder, 'model.gguf')
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const left = async (): Promise<string[]> => (await readdir(folder)).filter((name) => name.startsWith('model')).toSorted()
const unfinished = ['model.gguf.partial', 'model.gguf.partial.journal']

/** Everything of a result that has to be the same after a resumption. */
function lasting({ tensors, sizeBytes, bitsPerWeight }: QuantizeResult): unknown {
  return { tensors: tensors.map((tensor) => ({ ...tensor, seconds: 0 })), sizeBytes, bitsPerWeight }
}

/** Does the work until `share` of it is done, then aborts. */
async function interruptAt(share: number, options: Partial<QuantizeOptions> = {}): Promise<void> {
  const controller = new AbortController()
  const work = quantize({ blueprint, plan, output, threads: 1, signal: controller.signal, ...options })
  const onProgress = ({ done, total }: Progress): void => {
    if (done >= share * total) controller.abort()
  }
  await expect(finish(work, onProgress)).rejects.toMatchObject({ code: 'INTERRUPTED' })
}

/** Importance of the 512 columns of b.weight. */
const rising = Float32Array.from({ length: 512 }, (_, column) => 1 + column / 100)

interface Outcome {
  readonly hash: string
  readonly result: QuantizeResult
}

/** The work without an accident. One thread starts faster than two, which is most of what these tests take. */
function finishWork(options: Partial<QuantizeOptions> = {}, onProgress?: (progress: Progress) => void): Promise<QuantizeResult> {
  return finish(quantize({ blueprint, plan, output, threads: 1, ...options }), onProgress)
}

async function whole(options: Partial<QuantizeOptions> = {}): Promise<Outcome> {
  const result = await finishWork({ ...options, output: join(folder, 'whole.gguf') })
  return { hash: await fileSha256(result.path), result }
}

describe('after an interruption', () => {
  test('the same call does what is missing: same bytes, same statistics', async () => {
    await interruptAt(0.3)
    expect(await left()).toEqual(unfinished)
    await interruptAt(0.6)
    const stages = new Set<string>()
    const result = await finishWork({ threads: 2 }, ({ stage }) => stages.add(stage))
    expect([...stages]).toEqual(['resume', 'quantize'])
    expect(result.resumedBytes).toBeGreaterThan(0.5 * result.dataBytes)
    expect(result.resumedBytes).toBeLessThan(result.dataBytes)
    expect(result.notes).toEqual([expect.stringMatching(/^\d+\.\d % was written by an earlier run/)])
    expect(lasting(result)).toEqual(lasting(undisturbed.result))
    expect(await fileSha256(output)).toBe(undisturbed.hash)
    expect(await left()).toEqual(['model.gguf'])
  })

  test('with a calibration, by which tasks are cut and put in order otherwise, too', async () => {
    const inputOf = (name: string): string | undefined => (name === 'b.weight' ? 'inner' : undefined)
    const calibration = madeUpInputs({ inner: { columns: 512, rank: 4, seed: 1 } }, inputOf)
    const expected = await whole({ calibration })
    expect(expected.hash).not.toBe(undisturbed.hash)
    await interruptAt(0.8, { calibration })
    const result = await finishWork({ calibration })
    expect(result.resumedBytes).toBeGreaterThan(0.75 * result.dataBytes)
    expect(await fileSha256(output)).toBe(expected.hash)
  })

  test('a consumer that stops listening leaves what is done, too', async () => {
    for await (const _ of quantize({ blueprint, plan, output, threads: 2 })) break
    expect(await left()).toEqual(unfinished)
    expect((await finishWork()).resumedBytes).toBeGreaterThan(0)
  })

  test('bytes that changed since are done again', async () => {
    await interruptAt(0.7)
    const partial = await open(`${output}.partial`, 'r+')
    const { byteLength } = await readFile(`${output}.partial`)
    await partial.write(new Uint8Array(1000).fill(0xaa), 0, 1000, Math.floor(byteLength / 5))
    await partial.close()
    await finishWork()
    expect(await fileSha256(output)).toBe(undisturbed.hash)
  })

  test.each([
    ['torn', async (path: string, size: number) => truncate(path, size - 5)],
    [
      'damaged',
      async (path: string, size: number) => {
        const journal = await open(path, 'r+')
        await journal.write(Uint8Array.of(1, 2, 3), 0, 3, size - 50)
        await journal.close()
      },
    ],
  ])('a journal whose last record is %s costs no more than that record', async (_, spoil) => {
    await interruptAt(0.7)
    const path = `${output}.partial.journal`
    await spoil(path, (await stat(path)).size)
    const { resumedBytes, dataBytes } = await finishWork()
    expect(resumedBytes).toBeGreaterThan(0.5 * dataBytes)
    expect(await fileSha256(output)).toBe(undisturbed.hash)
  })

  test.each<[string, () => Promise<Partial<QuantizeOptions>>]>([
    ['another plan', async () => ({ plan: smallPlan(blueprint, 'Q5_0') })],
    ['importance', async () => ({ importance: (name) => (name === 'b.weight' ? rising : undefined) })],
    [
      'a source that changed',
      async () => {
        await utimes(blueprint.files[2] as string, 1, Math.random())
        return {}
      },
    ],
    [
      'a journal that is none',
      async () => {
        await writeFile(`${output}.partial.journal`, 'x'.repeat(5000))
        return {}
      },
    ],
    ['the wish to begin anew', async () => ({ fresh: true })],
  ])('%s begins anew', async (what, change) => {
    await interruptAt(0.5)
    const options = await change()
    const result = await finishWork(options)
    expect(result.resumedBytes).toBe(0)
    const spokenOf = what !== 'the wish to begin anew' && what !== 'a journal that is none'
    expect(result.notes).toEqual(spokenOf ? [expect.stringMatching(/was discarded/)] : [])
    const otherBytes = 'plan' in options || 'importance' in options
    expect(await fileSha256(output)).toBe((otherBytes ? await whole(options) : undisturbed).hash)
    if (otherBytes) expect(await fileSha256(output)).not.toBe(undisturbed.hash)
    expect(await left()).toEqual(['model.gguf'])
  })

  test('an error of the input removes everything', async () => {
    const path = blueprint.files[2] as string
    const bytes = await readFile(path)
    const write = async (content: Uint8Array): Promise<void> => {
      await writeFile(path, content)
      // Of the same size and time: the journal does not know.
      await utimes(path, 1, 1)
    }
    await write(bytes)
    await interruptAt(0.5)
    await write(new Uint8Array(bytes.length).fill(0xff))
    await expect(finishWork()).rejects.toMatchObject({ code: 'TENSOR_NOT_FINITE' })
    await write(bytes)
    expect(await left()).toEqual([])
  })
})

describe('shards', () => {
  const splitMaxBytes = 900_000

  test('go on as one, also where some had their names already', async () => {
    const undisturbed = await whole({ splitMaxBytes })
    const names = undisturbed.result.files.map((file) => file.replace('whole', 'model'))
    expect(names.length).toBeGreaterThan(2)
    await interruptAt(0.6, { splitMaxBytes })
    expect(await left()).toContain('model.gguf.partial.journal')
    // As if killed while names were given: the whole journal is there, the last shard has its name.
    await interruptAt(1, { splitMaxBytes })
    await rename(`${names.at(-1)}.partial`, names.at(-1) as string)
    const result = await finishWork({ splitMaxBytes })
    expect(result.resumedBytes).toBe(result.dataBytes)
    expect(result.files).toEqual(names)
    for (const [index, file] of result.files.entries()) {
      expect(await fileSha256(file)).toBe(await fileSha256(undisturbed.result.files[index] as string))
    }
    expect((await left()).length).toBe(names.length)
  })

  test('of another size leave nothing of the earlier ones behind', async () => {
    await interruptAt(0.6, { splitMaxBytes })
    await finishWork()
    expect(await left()).toEqual(['model.gguf'])
  })

  test("somebody else's file under a shard's name is not replaced", async () => {
    await interruptAt(1, { splitMaxBytes })
    const partial = (await left()).find((name) => name.endsWith('.partial')) ?? ''
    const path = join(folder, partial.replace('.partial', ''))
    const bytes = await readFile(join(folder, partial))
    await rm(join(folder, partial))
    bytes[bytes.length - 100] = (bytes[bytes.length - 100] ?? 0) ^ 1
    await writeFile(path, bytes)
    await expect(finishWork({ splitMaxBytes })).rejects.toMatchObject({ code: 'OUTPUT_EXISTS' })
    expect(Buffer.compare(await readFile(path), bytes)).toBe(0)
  })
})

describe('two processes', () => {
  test('do not write the same file', async () => {
    const first = quantize({ blueprint, plan, output, threads: 1 })
    await first.next()
    await expect(finishWork()).rejects.toMatchObject({
      code: 'OUTPUT_BUSY',
      details: { path: output, lock: `${output}.partial.lock` },
    })
    await finish(first)
    expect(await left()).toEqual(['model.gguf'])
  })

  test.each([
    ['a process that is gone', 999999999],
    ['an earlier process of the same number', process.pid],
  ])('the lock of %s is taken over', async (_, pid) => {
    const { place } = await ownIdentity()
    await writeFile(`${output}.partial.lock`, JSON.stringify({ place, pid, start: '5', token: 'theirs' }))
    await finishWork()
    expect(await left()).toEqual(['model.gguf'])
  })

  const elsewhere = JSON.stringify({ place: '0'.repeat(16), pid: 1, start: '1', token: 'theirs' })

  test('the lock of another machine holds', async () => {
    await writeFile(`${output}.partial.lock`, elsewhere)
    await expect(finishWork()).rejects.toMatchObject({ code: 'OUTPUT_BUSY' })
  })

  test('the lock of another machine that has been silent is taken over, without what that may still write', async () => {
    await interruptAt(0.3)
    const [partial] = (await left()).filter((name) => name.endsWith('.partial'))
    const theirs = await open(join(folder, partial as string), 'r+')
    await writeFile(`${output}.partial.lock`, elsewhere)
    const old = new Date(Date.now() - 3_600_000)
    await utimes(`${output}.partial.lock`, old, old)
    const result = await finishWork()
    expect(result.resumedBytes).toBe(0)
    expect(result.notes).toContain('The partial output of an earlier run, which may not have ended, was discarded.')
    const before = await readFile(output)
    await theirs.write(new Uint8Array(64).fill(1), 0, 64, 0)
    await theirs.close()
    expect(Buffer.compare(await readFile(output), before)).toBe(0)
    expect(await left()).toEqual(['model.gguf'])
  })

  test('a process that has lost its lock neither finishes nor removes what is there', async () => {
    const first = quantize({ blueprint, plan, output, threads: 1 })
    await first.next()
    await writeFile(`${output}.partial.lock`, elsewhere)
    await expect(finish(first)).rejects.toMatchObject({ code: 'OUTPUT_BUSY' })
    expect((await left()).toSorted()).toEqual(['model.gguf.partial', 'model.gguf.partial.journal', 'model.gguf.partial.lock'])
    await rm(`${output}.partial.lock`)
  })
})

describe('after kill -9', () => {
  /** MQ_KILLS=20 looks longer. */
  const kills = Number(process.env['MQ_KILLS'] ?? 3)
  const entry = fileURLToPath(new URL('../../../../bin/run.js', import.meta.url))

  const commandLine = (path: string, more: readonly string[]): string[] => {
    return ['quantize', ...more, '--preset', 'Q4_K_M', '-o', path, '--json']
  }

  const journalBytes = async (): Promise<number> => (await stat(`${output}.partial.journal`).catch(() => undefined))?.size ?? 0

  /** Kills the command when its journal has grown to `bytes`. */
  async function killAt(bytes: number, more: readonly string[]): Promise<void> {
    const over = new AbortController()
    const changes = watch(folder, { signal: over.signal })
    const env = { ...process.env, NODE_ENV: 'production' }
    const child = spawn(process.execPath, [entry, ...commandLine(output, more), '--threads', '1'], { env, stdio: 'ignore' })
    const ended = once(child, 'exit').finally(() => over.abort())
    try {
      for await (const { filename } of changes) {
        if (filename?.endsWith('.journal') === true && (await journalBytes()) >= bytes) child.kill('SIGKILL')
      }
    } catch (error) {
      if (!over.signal.aborted) throw error
    }
    expect(await ended).toEqual([null, 'SIGKILL'])
  }

  async function finishAt(path: string, more: readonly string[]): Promise<{ hashes: string[]; resumedBytes: number }> {
    const { exitCode, stdout } = await runMqHere(commandLine(path, more))
    expect(exitCode).toBe(0)
    const report = JSON.parse(stdout) as { path: string; files?: string[]; resumedBytes: number }
    return { hashes: await Promise.all((report.files ?? [report.path]).map(fileSha256)), resumedBytes: report.resumedBytes }
  }

  /** Inputs of all matrices of the layers, made up: each column goes a little with each other. */
  async function writeCalibration(model: string): Promise<string> {
    const { tensors } = await makeBlueprint(model)
    const weights = tensors.filter(({ layer, keepF32, shape }) => layer !== undefined && !keepF32 && shape.length === 2)
    const covarianceOf = (columns: number): Float32Array => {
      const whole = new Float32Array((columns * (columns + 1)) / 2).fill(0.5)
      for (let row = 0, at = 0; row < columns; at += columns - row, row++) whole[at] = 2
      return whole
    }
    const inputs = new Map(
      weights.map(({ name, shape: [, columns = 0] }) => {
        return [name, { columns, tokens: [1], whole: covarianceOf(columns), kept: new Float32Array(), keptCounts: [0] }]
      }),
    )
    const entries = new Map(
      weights.map(({ name, shape: [, columns = 0] }) => [name, { sums: new Float32Array(columns).fill(2), counts: [1] }]),
    )
    const covariance = { seed: 1, rank: 64, inputOf: new Map(weights.map(({ name }) => [name, name])), inputs }
    const path = join(folder, 'calibration.gguf')
    await writeImportanceMatrix(path, { entries, datasets: ['none'], chunks: 1, chunkLength: 512, covariance })
    return path
  }

  test.each<{ what: string; sample: 'llama-kjv' | 'deepseek-kjv-moe'; split: string[]; files: number; damping?: string }>([
    { what: 'file', sample: 'llama-kjv', split: [], files: 1 },
    { what: 'shards', sample: 'deepseek-kjv-moe', split: ['--split-max-size', '1MB'], files: 3 },
    { what: 'file under calibration', sample: 'deepseek-kjv-moe', split: [], files: 1, damping: '0.3' },
  ])('again and again, the command finishes the same $what of $sample', async ({ sample, split, files, damping }) => {
    const model = samplePath(sample)
    const calibrated = damping === undefined ? [] : ['--damping', damping, '--calibration', await writeCalibration(model)]
    const more = [model, ...split, ...calibrated]
    const grown = [0]
    for (let kill = 0; kill < kills; kill++) {
      await killAt((grown.at(-1) ?? 0) + 700, more)
      grown.push(await journalBytes())
    }
    // Each run went on from the journal of the one before it.
    expect(grown).toEqual([...new Set(grown)].toSorted((a, b) => a - b))
    const killed = await finishAt(output, more)
    expect(killed.resumedBytes).toBeGreaterThan(0)
    expect(killed.hashes.length).toBeGreaterThanOrEqual(files)
    expect((await left()).length).toBe(killed.hashes.length)
    const other = await mkdtemp(join(folder, 'undisturbed-'))
    expect((await finishAt(join(other, 'model.gguf'), more)).hashes).toEqual(killed.hashes)
  })
})
