import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CompareReport } from '../../src/verify/index.js'
import { elementsOf } from '../support/elements.js'
import { runMqHere } from '../support/run-mq-here.js'
import { llama, sampleModels, samplePath } from '../support/sample-models.js'

describe.skipIf(!llama.available)(`mq compare (${llama.name})`, () => {
  let models: Awaited<ReturnType<typeof sampleModels>>
  let folder: string
  beforeAll(async () => {
    models = await sampleModels()
    folder = await mkdtemp(join(tmpdir(), 'mq-compare-command-'))
    await mkdir(join(folder, 'quantized'))
    await mkdir(join(folder, 'empty'))
    await copyFile(await models.make('llama-kjv', 'Q8_0'), join(folder, 'quantized', 'eight.gguf'))
    await copyFile(await models.make('llama-kjv', 'BF16'), join(folder, 'brain.gguf'))
    await copyFile(await models.make('llama-kjv', 'F16'), join(folder, 'reference.gguf'))
    await copyFile(samplePath('text/kjv-heldout.txt'), join(folder, 'text.txt'))
  })
  afterAll(async () => {
    await models[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })
  const mq = (...args: string[]) =>
    runMqHere(['compare', ...args, '-f', 'text.txt', '--chunks', '2'], { cwd: folder, env: { MQ_CACHE: join(folder, 'cache') } })

  test('takes folders and files, and makes a table, data and a page of the same', async () => {
    const all = ['quantized', 'brain.gguf', '--against', 'reference.gguf', '-c', '64']
    const first = await mq(...all, '--save-logits', 'base.logits')
    expect([first.exitCode, first.stderr]).toEqual([0, ''])
    expect(first.stdout).toMatch(/^\* {2}eight +4\.53 MB +8\.51\d +0\.000\d+ ± /m)

    const second = await mq(...all, '--report', 'page.html', '--json')
    const report = JSON.parse(second.stdout) as CompareReport
    expect(report.models.map(({ name, measured, onFront }) => ({ name, measured, onFront }))).toEqual([
      { name: 'eight', measured: false, onFront: true },
      { name: 'brain', measured: false, onFront: true },
    ])
    expect(report.models[0]?.profile.chunks.kld).toHaveLength(2)
    const page = await readFile(join(folder, 'page.html'), 'utf8')
    expect(elementsOf(page).filter(({ name }) => name === 'svg')).toHaveLength(3)
    expect(page).toContain('mq compare quantized brain.gguf --against reference.gguf -c 64')

    // logits are another reference than the file that they were made from
    const third = await mq('quantized', '--against-logits', 'base.logits', '--json')
    const { models: measured } = JSON.parse(third.stdout) as CompareReport
    expect(measured.map(({ divergence }) => divergence)).toEqual([report.models[0]?.divergence])
  })

  test.each([
    [
      ['empty', '--against', 'reference.gguf'],
      3,
      /^mq: CHECKPOINT_EMPTY: empty contains no model that can be used: it has no \*\.gguf/,
    ],
    [['none.gguf', '--against', 'reference.gguf'], 3, /^mq: FILE_MISSING: none\.gguf does not exist/],
    [['quantized'], 2, /^mq: USAGE: /],
    [['text.txt', '--against', 'reference.gguf'], 3, /^mq: GGUF_INVALID: text\.txt /],
    [['quantized', '--against', 'reference.gguf', '--report', 'there.html'], 2, /^mq: OUTPUT_EXISTS: there\.html /],
  ])('%j is refused in one line', async (args, status, message) => {
    await writeFile(join(folder, 'there.html'), '')
    const { exitCode, stderr, stdout } = await mq(...args)
    expect(stderr).toMatch(message)
    expect([exitCode, stdout, stderr.trim().split('\n').length]).toEqual([status, '', 1])
  })
})
