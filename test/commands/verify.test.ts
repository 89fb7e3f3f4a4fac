import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { VerifyReport } from '../../src/verify/index.js'
import { elementsOf } from '../support/elements.js'
import { runMqHere } from '../support/run-mq-here.js'
import { llama, sampleModels, samplePath } from '../support/sample-models.js'

describe.skipIf(!llama.available)(`mq verify (${llama.name})`, () => {
  let models: Awaited<ReturnType<typeof sampleModels>>
  let folder: string
  beforeAll(async () => {
    models = await sampleModels()
    folder = await mkdtemp(join(tmpdir(), 'mq-verify-command-'))
    await copyFile(await models.make('llama-kjv', 'Q8_0'), join(folder, 'model.gguf'))
    await copyFile(await models.make('llama-kjv', 'F16'), join(folder, 'reference.gguf'))
    await copyFile(samplePath('text/kjv-heldout.txt'), join(folder, 'text.txt'))
  })
  afterAll(async () => {
    await models[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })
  const mq = (...args: string[]) =>
    runMqHere(['verify', 'model.gguf', '--against', 'reference.gguf', '-f', 'text.txt', '-c', '64', '--chunks', '4', ...args], {
      cwd: folder,
    })

  test('writes a page and the data it is made of, prints the data, and ends with 5 where a gate fails', async () => {
    const gates = ['--gate', 'kld.q99<=1e-9', '--gate', 'kld<=1', '--confidence', '95%']
    const { exitCode, stdout, stderr } = await mq('--report', 'page.html', '--report', 'own.json', ...gates, '--json')
    expect(exitCode).toBe(5)
    expect(stderr).toMatch(
      /^mq: GATE_FAILED: The 99 % quantile of KL divergence is 0\.0\d+, with 95 % confidence up to 0\.0\d+, but the gate requires at most 1e-9\./,
    )
    const report = JSON.parse(stdout) as VerifyReport
    expect(report.gates.map(({ figure, passed }) => [figure, passed])).toEqual([
      ['kld.q99', false],
      ['kld.mean', true],
    ])
    expect(report.profile?.chunks.kld).toHaveLength(4)
    expect(report.profile?.positions.kld).toHaveLength(31)
    expect(JSON.parse(await readFile(join(folder, 'own.json'), 'utf8'))).toEqual(report)
    const page = await readFile(join(folder, 'page.html'), 'utf8')
    expect(elementsOf(page).filter(({ name }) => name === 'svg')).toHaveLength(5)
    expect(page).toContain('mq verify model.gguf --against reference.gguf -f text.txt')
    expect(page).toContain('✗ Failed: 1 of 2 gates')
    expect((await readdir(folder)).sort()).toEqual(['model.gguf', 'own.json', 'page.html', 'reference.gguf', 'text.txt'])
  })

  test('does not replace a page unless it is told to, and says so before it measures', async () => {
    await writeFile(join(folder, 'mine.html'), 'mine')
    const { exitCode, stderr } = await mq('--report', 'mine.html')
    expect([exitCode, stderr]).toEqual([
      2,
      'mq: OUTPUT_EXISTS: mine.html already exists. Remove it, choose another name, or use --force.',
    ])
    expect(await readFile(join(folder, 'mine.html'), 'utf8')).toBe('mine')
    const { exitCode: forced } = await mq('--report', 'mine.html', '--force')
    expect(forced).toBe(0)
    expect(await readFile(join(folder, 'mine.html'), 'utf8')).toMatch(/^<!DOCTYPE html>/)
    await rm(join(folder, 'model.gguf.verify.json'))
  })

  test.each([
    [['--gate', 'kld.max<=1', '--confidence', '0.9'], /^mq: FLAG_INVALID: --gate kld\.max: it has no standard error/],
    [['--confidence', '100%'], /^mq: FLAG_INVALID: --confidence 1: a confidence is at least 50%/],
    [['--max-kld', 'abc'], /^mq: FLAG_INVALID: --max-kld abc: it is not a number above 0/],
    [['--report', 'model.gguf.html/x.html'], /^mq: FILE_UNWRITABLE: /],
    [['--versus', '.'], /^mq: FILE_UNREADABLE: \. cannot be read: it is a folder/],
    [['--versus', 'text.txt'], /^mq: GGUF_INVALID: /],
  ])('%j is refused in one line', async (args, message) => {
    const { exitCode, stderr, stdout } = await mq(...args)
    expect(stderr).toMatch(message)
    expect(stderr.trim().split('\n')).toHaveLength(1)
    expect([stdout, exitCode === 0]).toEqual(['', false])
    expect((await readdir(folder)).filter((name) => name.includes('partial'))).toEqual([])
  })
})
