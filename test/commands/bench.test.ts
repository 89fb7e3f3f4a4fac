import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { SpeedReport } from '../../src/speed/index.js'
import { runMqHere } from '../support/run-mq-here.js'
import { llama, sampleModels } from '../support/sample-models.js'

describe.skipIf(!llama.available)(`mq bench (${llama.name})`, () => {
  let models: Awaited<ReturnType<typeof sampleModels>>

  beforeAll(async () => {
    models = await sampleModels()
    await models.make('llama-kjv', 'F16')
    await models.make('deepseek-kjv-moe', 'F16')
  })
  afterAll(() => models[Symbol.asyncDispose]())

  test('measures a folder beside another file, and draws a page', async () => {
    const [llamaFile] = [join(models.folder, 'llama-kjv-F16-1.gguf')]
    const plot = join(models.folder, 'speed.html')
    const sizes = ['--n-prompt', '32', '--n-gen', '4', '-r', '3', '-t', '1']
    const { exitCode, stdout } = await runMqHere([
      'bench',
      models.folder,
      '--against',
      llamaFile,
      '--plot',
      plot,
      '--json',
      ...sizes,
    ])
    expect(exitCode).toBe(0)
    const report = JSON.parse(stdout) as SpeedReport
    expect(report.models.map(({ model }) => model)).toEqual(['deepseek-kjv-moe-F16-2.gguf', 'llama-kjv-F16-1.gguf'])
    for (const { speeds, paired } of report.models) {
      expect(speeds.map(({ test: name, samples }) => [name, samples.length])).toEqual([
        ['pp32', 3],
        ['tg4', 3],
      ])
      for (const { tokensPerSecond, samples } of speeds) {
        expect(tokensPerSecond).toBeCloseTo(samples.reduce((sum, value) => sum + value, 0) / 3, 6)
      }
      expect(paired?.map(({ test: name }) => name)).toEqual(['pp32', 'tg4'])
    }
    // The runs of the file beside are those of the last model's pairs.
    const last = report.models.at(-1)
    for (const [at, { ratio, standardError }] of (last?.paired ?? []).entries()) {
      const others = report.against?.speeds[at]?.samples ?? []
      const ratios = (last?.speeds[at]?.samples ?? []).map((speed, run) => speed / (others[run] as number))
      const mean = ratios.reduce((sum, value) => sum + value, 0) / 3
      expect(ratio).toBeCloseTo(mean, 6)
      expect(standardError).toBeCloseTo(Math.sqrt(ratios.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 2 / 3), 6)
    }
    expect(report.against?.model).toBe('llama-kjv-F16-1.gguf')
    const page = await readFile(plot, 'utf8')
    expect(page.match(/<svg/g)).toHaveLength(2)
    expect(page).toContain('deepseek-kjv-moe-F16-2.gguf')
  })

  test('refuses what cannot be measured', async () => {
    await mkdir(join(models.folder, 'empty'))
    const { exitCode, stderr } = await runMqHere(['bench', join(models.folder, 'empty')])
    expect({ exitCode, stderr }).toEqual({ exitCode: 4, stderr: expect.stringContaining('it has no .gguf file') })
    const nothing = await runMqHere(['bench', models.folder, '--n-prompt', '0', '--n-gen', '0'])
    expect({ exitCode: nothing.exitCode, stderr: nothing.stderr }).toEqual({
      exitCode: 2,
      stderr: expect.stringContaining('nothing to measure'),
    })
  })
})
