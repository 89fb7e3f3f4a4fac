import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import PlanCommand from '../../commands/plan.js'
import Quantize from '../../commands/quantize.js'
import type { DryRun } from '../../src/plan/dry-run/dry-run.js'
import { runCommand } from '../support/run-command.js'

const sample = 'samples/deepseek-kjv-moe'

describe('mq plan, the dry run of everything', () => {
  let folder: string

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mq-plan-'))
  })

  afterAll(async () => {
    await rm(folder, { recursive: true, force: true })
  })

  it('says the size of the file, the memory at four widths and the time', async () => {
    const file = join(folder, 'plan.json')
    const flags = ['--bits', '3', '--no-measure', '--ctx', '1024', '--vram', '11MB', '-o', file, '--json']
    const { stdout } = await runCommand(PlanCommand, [sample, ...flags])
    const { fileBytes, memory, placement, duration, tensors } = JSON.parse(stdout) as DryRun
    const path = join(folder, 'made.gguf')
    await runCommand(Quantize, [sample, '--plan', file, '-o', path])
    expect(fileBytes).toBe((await readFile(path)).byteLength)
    expect(memory.map(({ name }) => name)).toEqual(['F16', 'Q8_0', 'Q4_K_M', 'plan'])
    // Four layers of one latent vector with its rotated part, in f16.
    const latent = tensors.find(({ role }) => role === 'attention-kv-a')?.shape[0] ?? 0
    expect(memory.map(({ kvCacheBytes }) => kvCacheBytes)).toEqual(Array.from({ length: 4 }, () => 4 * 2 * 1024 * latent))
    expect(memory.every(({ totalBytes, weightsBytes }) => totalBytes > weightsBytes)).toBe(true)
    expect(placement?.flags).toMatch(/^-ngl/)
    expect(duration.low).toBeGreaterThan(0)
    expect(duration.high).toBeGreaterThan(duration.low)
  })

  it('shows the same on the screen', async () => {
    const { stdout } = await runCommand(PlanCommand, [sample, '--preset', 'Q4_K_M', '--vram', '12MB'])
    expect(stdout).toMatch(/^memory to run +weights +KV cache +compute +total$/m)
    expect(stdout).toMatch(
      /^File: 5\.\d+ MB \(\d+ bytes\)\. Memory to run: context length 8192, f16 KV cache, flash attention\. Time to quantize: /m,
    )
    expect(stdout).toMatch(/^GPU of 12MB: /m)
  })

  it('draws a cell for each matrix, without a script', async () => {
    const svg = join(folder, 'plan.svg')
    const html = join(folder, 'plan.html')
    const { stdout } = await runCommand(PlanCommand, [sample, '--preset', 'Q4_K_M', '--picture', svg, '--json'])
    await runCommand(PlanCommand, [sample, '--preset', 'Q4_K_M', '--picture', html])
    const { tensors } = JSON.parse(stdout) as DryRun
    const matrices = tensors.filter(({ shape, role }) => shape.length > 1 && role !== 'norm')
    const pictures = await Promise.all([svg, html].map(async (path) => readFile(path, 'utf8')))
    for (const picture of pictures) {
      for (const { name, type } of matrices) expect(picture).toContain(`<title>${name}: ${type}, `)
      expect(picture.match(/<title>[^<]*weight/g)).toHaveLength(matrices.length)
      expect(picture).not.toMatch(/<script|https?:\/\/(?!www\.w3\.org\/2000\/svg)/)
      expect(picture).toContain('bits per weight')
    }
    expect(pictures[0]).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"/)
  })

  it.each([
    [['--picture', 'plan.png'], 'FLAG_INVALID'],
    [['--picture', '/nowhere/plan.svg'], 'FILE_UNWRITABLE'],
    [['--vram', 'much'], 'FLAG_INVALID'],
    [['--ctx', '0'], 'FLAG_INVALID'],
    [['--cache-type', 'q3'], 'USAGE'],
  ])('refuses %j', async (flags, code) => {
    const { stdout } = await runCommand(PlanCommand, ['samples/llama-kjv', '--type', 'Q8_0', ...flags, '--json'])
    expect((JSON.parse(stdout) as { error?: { code: string } }).error?.code).toBe(code)
  })
})
