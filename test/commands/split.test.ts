import { createHash } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gguf as huggingfaceGguf } from '@huggingface/gguf'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openGguf } from '../../formats/gguf/index.js'
import type { QuantizeReport } from '../../src/quantize/index.js'
import { foreign } from '../support/foreign.js'
import { runMqHere } from '../support/run-mq-here.js'
import { llama, samplePath } from '../support/sample-models.js'

const env = { NODE_ENV: 'production' }
const split = ['convert', samplePath('llama-kjv'), '--type', 'f16', '-o', 'model.gguf', '--split-max-size', '3MB']
const first = 'model-00001-of-00003.gguf'
let folder = ''
let report: QuantizeReport

async function mq(args: readonly string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await runMqHere([...args], { cwd: folder, env })
  expect({ exitCode, stderr: exitCode === 0 ? '' : stderr }).toEqual({ exitCode: 0, stderr: '' })
  return stdout
}

/** Every tensor's name, type, dimensions and a hash of its bytes. */
async function contents(path: string): Promise<unknown> {
  const model = await openGguf(path)
  try {
    const tensors = await Promise.all(
      model.tensors.map(async ({ name, type, dimensions, file, start, end }) => {
        const bytes = (await model.sources[file]?.slice(start, end)) ?? new Uint8Array()
        return [name, type, dimensions, createHash('sha256').update(bytes).digest('hex')]
      }),
    )
    return { tensors, metadata: [...model.metadata.keys()].toSorted() }
  } finally {
    await model.close()
  }
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-split-'))
  await mq(['convert', samplePath('llama-kjv'), '--type', 'f16', '-o', 'whole.gguf'])
  report = JSON.parse(await mq([...split, '--json'])) as QuantizeReport
})
afterAll(() => rm(folder, { recursive: true, force: true }))

describe('a model in shards', () => {
  test('is named after its shards, and holds what one file holds', async () => {
    const files = [1, 2, 3].map((number) => `model-0000${number}-of-00003.gguf`)
    expect((await readdir(folder)).toSorted()).toEqual([...files, 'whole.gguf'])
    expect({ path: report.path, files: report.files }).toEqual({ path: first, files })
    expect(await contents(join(folder, first))).toEqual(await contents(join(folder, 'whole.gguf')))
  })

  test("has the split keys that the hub's reader expects", async () => {
    const { metadata } = await huggingfaceGguf(join(folder, 'model-00002-of-00003.gguf'), { allowLocalFile: true })
    expect(metadata).toMatchObject({ 'split.no': 1, 'split.count': 3, 'split.tensors.count': 39 })
  })

  test('that is smaller than a shard is one file under its own name', async () => {
    await mq(['quantize', samplePath('llama-kjv'), '--type', 'q8_0', '-o', 'small.gguf', '--split-max-size', '1GB'])
    expect(await readdir(folder)).toContain('small.gguf')
    await rm(join(folder, 'small.gguf'))
  })

  test('is not replaced without --force', async () => {
    const { exitCode, stderr } = await runMqHere(split, { cwd: folder, env })
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(/^mq: OUTPUT_EXISTS: /) })
    await mq([...split, '--force'])
  })

  test('is published and converted by its first shard', async () => {
    const published = JSON.parse(await mq(['publish', first, 'kjv/split', '--registry', 'registry', '--json'])) as object
    expect(published).toHaveProperty('files.length', 3)
    await rm(join(folder, 'registry'), { recursive: true })
    await mq(['convert', first, '--type', 'f16', '-o', 'again.gguf'])
    expect(await contents(join(folder, 'again.gguf'))).toEqual(await contents(join(folder, 'whole.gguf')))
    await rm(join(folder, 'again.gguf'))
  })

  test.skipIf(!llama.available)(`is run by its first shard (${llama.name})`, async () => {
    const args = ['And it came to pass in those days, that', '--raw', '--temperature', '0', '-n', '12']
    // What llama-completion writes of the whole file: see run.test.ts.
    expect(await mq(['run', first, ...args])).toBe(' the LORD spake unto Moses, saying, Speak unto the')
  })

  test.skipIf(!foreign.available)(`is what llama-gguf-split makes, and merges (${foreign.name})`, async () => {
    await foreign.run('llama-gguf-split', ['--split', '--split-max-size', '3M', 'whole.gguf', 'theirs'], { cwd: folder })
    for (const number of [1, 2, 3]) {
      const [ours, theirs] = await Promise.all(
        ['model', 'theirs'].map((stem) =>
          huggingfaceGguf(join(folder, `${stem}-0000${number}-of-00003.gguf`), { allowLocalFile: true }),
        ),
      )
      expect(ours?.tensorInfos.map(({ name }) => name)).toEqual(theirs?.tensorInfos.map(({ name }) => name))
    }
    await foreign.run('llama-gguf-split', ['--merge', first, 'merged.gguf'], { cwd: folder })
    expect(await contents(join(folder, 'merged.gguf'))).toEqual(await contents(join(folder, 'whole.gguf')))
  })
})
