import { mkdtemp, readdir, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { writeOneLayerSample } from '../support/one-layer-sample.js'
import { runMqHere } from '../support/run-mq-here.js'
import { runningRegistry } from '../support/running-registry.js'
import { llama } from '../support/sample-models.js'

const text = fileURLToPath(new URL('../../samples/text/kjv-heldout.txt', import.meta.url))

let folder: string
let sample: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-next-'))
  sample = join(folder, 'sample')
  await writeOneLayerSample(sample)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** Runs a command line, and returns the one that it says comes next. */
async function run(...args: string[]): Promise<string | undefined> {
  const { exitCode, stdout, stderr } = await runMqHere(args, { cwd: folder })
  expect({ args, exitCode, stderr }).toMatchObject({ exitCode: 0 })
  return /^Next: (.*)$/m.exec(stdout)?.[1]
}

/** A printed line as arguments; words in capitals stand for what the user has. */
function argumentsOf(line: string | undefined): string[] {
  const [program, ...words] = (line ?? expect.fail('nothing comes next')).split(' ')
  expect(program).toBe('mq')
  return words.map((word) => (word === 'TEXT.txt' ? text : word))
}

describe('every line after "Next:" runs as it is printed', () => {
  test('of convert', async () => {
    const next = await run('convert', sample, '--type', 'q8_0', '-o', 'q8.gguf')
    await run(...argumentsOf(next), '-o', 'after-convert.gguf')
    expect(await readdir(folder)).toContain('after-convert.gguf')
  })

  test('of plan', async () => {
    const next = await run('plan', sample, '--bits', '4', '-o', 'plan.json')
    expect(next).toContain('--plan plan.json')
    await run(...argumentsOf(next), '-o', 'after-plan.gguf')
  })

  test.skipIf(process.platform === 'win32')('of convert, in a shell, where names have blanks', async () => {
    await symlink(sample, join(folder, "a model's folder"))
    const next = await run('convert', "a model's folder", '--type', 'q8_0', '-o', 'blank.gguf')
    const script = `mq() { "$NODE" "$ENTRY" "$@"; }; ${next} -o 'after a blank.gguf'`
    const env = {
      NODE: process.execPath,
      ENTRY: fileURLToPath(new URL('../../bin/run.js', import.meta.url)),
      NODE_ENV: 'production',
    }
    await execa('/bin/sh', ['-c', script], { cwd: folder, env })
    expect(await readdir(folder)).toContain('after a blank.gguf')
  })

  test('of plan for a model on a hub, and the line that follows it', async () => {
    await using hub = await runningRegistry()
    await hub.publish({ source: sample, name: 'kjv/llama' })
    const asked = ['hf:kjv/llama', '--endpoint', hub.url, '--bits', '4', '-o', 'remote.json']
    const { stdout } = await runMqHere(['plan', ...asked], { cwd: folder })
    await run(...argumentsOf(/^Next: (.*)$/m.exec(stdout)?.[1]), '-o', 'pulled')
    const [program, ...words] = (/^Once the model is on this machine: (.*)$/m.exec(stdout)?.[1] ?? '').split(' ')
    expect(program).toBe('mq')
    await run(...words.map((word) => (word === 'FOLDER' ? 'pulled' : word)), '-o', 'after-pull.gguf')
    expect(await readdir(folder)).toContain('after-pull.gguf')
  })

  test('of a dry run', async () => {
    const args = ['quantize', sample, '--bits', '4.5', '-o', 'dry.gguf']
    const next = await run(...args, '--dry-run')
    expect(await readdir(folder)).not.toContain('dry.gguf')
    await run(...argumentsOf(next))
    expect(await readdir(folder)).toContain('dry.gguf')
  })

  test.skipIf(!llama.available)(
    `of quantize and of imatrix (${llama.name})`,
    async () => {
      const next = await run(
        'imatrix',
        sample,
        '--text',
        text,
        '--chunks',
        '2',
        '--ctx',
        '64',
        '--rank',
        '0',
        '-o',
        'imatrix.gguf',
      )
      const quantized = await run(...argumentsOf(next), '-o', 'after-imatrix.gguf')
      await run(...argumentsOf(quantized), '--chunks', '2', '--ctx', '64')
      expect(await readdir(folder)).toContain('after-imatrix.gguf.verify.json')
    },
    180_000,
  )
})
