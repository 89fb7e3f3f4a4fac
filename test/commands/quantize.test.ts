import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openGguf } from '../../formats/gguf/index.js'
import type { Plan } from '../../src/plan/plan.js'
import type { QuantizeReport } from '../../src/quantize/index.js'
import { fileSha256 } from '../support/digests.js'
import { writeOneLayerSample } from '../support/one-layer-sample.js'
import { runMqHere } from '../support/run-mq-here.js'
import { temporaryFolder } from '../support/tiny-model.js'

const sample = (name: string): string => fileURLToPath(new URL(`../../samples/${name}`, import.meta.url))
const env = { NODE_ENV: 'production' }

let folder = ''

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-quantize-command-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

async function quantize(...args: string[]): Promise<QuantizeReport> {
  const { exitCode, stdout, stderr } = await runMqHere(['quantize', ...args, '--json'], { cwd: folder, env })
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
  return JSON.parse(stdout) as QuantizeReport
}

async function bitsOf(path: string): Promise<number> {
  const gguf = await openGguf(path)
  await gguf.close()
  const count = (dimensions: readonly number[]): number => dimensions.reduce((product, size) => product * size, 1)
  const bytes = gguf.tensors.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  return (8 * bytes) / gguf.tensors.reduce((sum, { dimensions }) => sum + count(dimensions), 0)
}

describe('a budget', () => {
  test('is never exceeded, and its plan, which `mq plan` makes too, gives the same file again', async () => {
    const model = join(await mkdtemp(join(folder, 'source-')), 'Llama-Kjv')
    await writeOneLayerSample(model)
    const report = await quantize(model, '--bits', '4.5', '--save-plan', 'plan.json')
    const file = 'Llama-Kjv-1.3M-4.5bpw.gguf'
    expect((await readdir(folder)).filter((name) => !name.startsWith('source-')).toSorted()).toEqual([file, 'plan.json'])
    const bits = await bitsOf(join(folder, file))
    expect(bits).toBeLessThanOrEqual(4.5)
    expect(bits).toBeGreaterThan(4.4)
    expect(report.bitsPerWeight).toBeCloseTo(bits, 9)

    await quantize(model, '--plan', 'plan.json', '-o', 'again.gguf', '--threads', '1')
    expect(await fileSha256(join(folder, 'again.gguf'))).toBe(await fileSha256(join(folder, file)))

    const { stdout } = await runMqHere(['plan', model, '--bits', '4.5', '-o', 'own.json', '--json'], { cwd: folder, env })
    expect((JSON.parse(stdout) as { fileBytes: number }).fileBytes).toBe(report.sizeBytes)
    expect(JSON.parse(await readFile(join(folder, 'own.json'), 'utf8'))).toEqual(
      JSON.parse(await readFile(join(folder, 'plan.json'), 'utf8')),
    )
  })

  test('below what the types allow is refused, and nothing is written', async () => {
    const { exitCode, stderr } = await runMqHere(['quantize', sample('llama-kjv'), '--bits', '0.5'], { cwd: folder, env })
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(/^mq: BUDGET_IMPOSSIBLE: /) })
    expect(await readdir(folder)).toEqual([])
  })
})

describe('a plan', () => {
  test('can be edited: a type is changed, sizes follow', async () => {
    await quantize(sample('llama-kjv'), '--type', 'q8_0', '--save-plan', 'plan.json', '--dry-run')
    expect(await readdir(folder)).toEqual(['plan.json'])
    const plan = JSON.parse(await readFile(join(folder, 'plan.json'), 'utf8')) as Plan
    const tensors = plan.tensors.map((tensor) => (tensor.name === 'token_embd.weight' ? { ...tensor, type: 'f16' } : tensor))
    await writeFile(join(folder, 'plan.json'), JSON.stringify({ ...plan, tensors }))
    const report = await quantize(sample('llama-kjv'), '--plan', 'plan.json')
    // 4,196,608 weights: 2048 x 256 in F16, 9 x 256 in F32, the rest in Q8_0 (34 bytes for 32).
    const rest = 4_196_608 - 2048 * 256 - 9 * 256
    expect(report.dataBytes).toBe(2 * 2048 * 256 + 4 * 9 * 256 + (rest * 34) / 32)
    expect(await readdir(folder)).toContain('Llama-Kjv-4.2M-Q8_0.gguf')
  })

  test('of another model is refused', async () => {
    await quantize(sample('llama-kjv'), '--type', 'q8_0', '--save-plan', 'plan.json', '--dry-run')
    const args = ['quantize', sample('deepseek-kjv-moe'), '--plan', 'plan.json']
    const { exitCode, stderr } = await runMqHere(args, { cwd: folder, env })
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 3, stderr: expect.stringMatching(/^mq: PLAN_MISMATCH: /) })
  })
})

test('a dry run is exact, and writes nothing', async () => {
  const args = [sample('llama-kjv'), '--preset', 'q8_0', '--tensor-type', 'token_embd=F16', '-o', 'model.gguf']
  const dry = await quantize(...args, '--dry-run')
  expect(dry.path).toBeUndefined()
  expect(await readdir(folder)).toEqual([])
  const wet = await quantize(...args)
  expect(wet.sizeBytes).toBe((await readFile(join(folder, 'model.gguf'))).byteLength)
  expect(dry.sizeBytes).toBe(wet.sizeBytes)
  expect(dry.roles.find(({ role }) => role === 'embedding')?.types).toEqual({ F16: 1 })
})

test('a GGUF source gives what the checkpoint gives, and one that is quantized already is spoken of', async () => {
  await runMqHere(['convert', sample('llama-kjv'), '-o', 'source.gguf'], { cwd: folder, env })
  await quantize(sample('llama-kjv'), '--type', 'q8_0', '-o', 'direct.gguf')
  await quantize('source.gguf', '--type', 'q8_0', '-o', 'detour.gguf')
  expect(await fileSha256(join(folder, 'detour.gguf'))).toBe(await fileSha256(join(folder, 'direct.gguf')))

  // The same type again is a copy.
  const again = await quantize('direct.gguf', '--type', 'q8_0', '-o', 'again.gguf')
  expect(again.notes).toEqual([expect.stringContaining('already quantized')])
  expect(await fileSha256(join(folder, 'again.gguf'))).toBe(await fileSha256(join(folder, 'direct.gguf')))
})

describe('the command line', () => {
  test.each([
    ['plan', ['--bits', 'three']],
    ['quantize', ['--bits', 'three']],
    ['plan', ['--preset', 'Q4_K_M', '--tensor-type', 'Q6_K']],
    ['quantize', ['--preset', 'Q4_K_M', '--tensor-type', 'Q6_K']],
  ])('mq %s %j points to its own help', async (command, args) => {
    const { stderr } = await runMqHere([command, sample('llama-kjv'), ...args], { cwd: folder, env })
    expect(stderr).toMatch(new RegExp(`^mq: FLAG_INVALID: .* See .mq ${command} --help.\\.$`, 'm'))
  })

  test.each([
    [[], 'USAGE'],
    [['--bits', '3', '--type', 'q4_k'], 'USAGE'],
    [['--bits', 'three'], 'FLAG_INVALID'],
    [['--type', 'q4_x'], 'FLAG_INVALID'],
    [['--preset', 'Q9'], 'PRESET_UNKNOWN'],
    [['--type', 'q8_0', '--memory', 'much'], 'FLAG_INVALID'],
    [['--type', 'q8_0', '--tensor-type', 'nothing=F16'], 'FLAG_INVALID'],
  ])('%j is %s', async (args, code) => {
    const { exitCode, stderr } = await runMqHere(['quantize', sample('llama-kjv'), ...args], { cwd: folder, env })
    expect({ exitCode, code: /^mq: (\w+): .*$/.exec(stderr)?.[1] }).toEqual({ exitCode: 2, code })
    expect(await readdir(folder)).toEqual([])
  })

  test('shows roles, errors and the next command', async () => {
    const { stdout } = await runMqHere(['quantize', sample('llama-kjv'), '--type', 'q8_0'], { cwd: folder, env })
    expect(stdout).toMatch(/^attention-k +4 +Q8_0 +139 kB +8\.50 +2\.\de-5$/m)
    expect(stdout).toMatch(/^4\.2 M weights, 4\.53 MB, 8\.513 bits per weight, in /m)
    expect(stdout).toContain('Next: mq verify Llama-Kjv-4.2M-Q8_0.gguf')
  })
})

test('Ctrl-C in the middle ends at once with 130 and leaves nothing under the name; the same again goes on', async () => {
  const entry = fileURLToPath(new URL('../../bin/run.js', import.meta.url))
  await using elsewhere = await temporaryFolder()
  const model = join(elsewhere.path, 'one-layer')
  await writeOneLayerSample(model)
  // Long enough that the signal comes while it works, however busy the machine is.
  const args = ['quantize', model, '--type', 'iq3_xxs', '--threads', '1', '-o', 'model.gguf']
  const running = execa(process.execPath, [entry, ...args], { cwd: folder, env, reject: false, stdin: 'ignore' })
  // The partial file is there before the threads are.
  while (!(await readdir(folder)).some((name) => name.endsWith('.partial'))) {
    if (running.exitCode !== null && running.exitCode !== undefined) break
    await new Promise((resolve) => setImmediate(resolve))
  }
  running.kill('SIGINT')
  const { exitCode, stderr } = await running
  expect({ exitCode, stderr }).toMatchObject({
    exitCode: 130,
    stderr: expect.stringMatching(
      /^mq: INTERRUPTED: .* Run the same command again: conversion, quantization and downloads resume, other work starts over\.\n?$/,
    ),
  })
  expect(await readdir(folder)).not.toContain('model.gguf')

  await quantize(...args.slice(1))
  expect(await readdir(folder)).toEqual(['model.gguf'])
})
