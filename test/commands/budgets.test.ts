import { randomUUID } from 'node:crypto'
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import PlanCommand from '../../commands/plan.js'
import Quantize from '../../commands/quantize.js'
import { ggmlType } from '../../formats/ggml/types.js'
import { openGguf } from '../../formats/gguf/index.js'
import type { Plan } from '../../src/plan/plan.js'
import { llamaBuffers } from '../support/llama-buffers.js'
import { writeOneLayerSample } from '../support/one-layer-sample.js'
import { runCommand } from '../support/run-command.js'

async function run(...args: string[]): Promise<void> {
  const { exitCode, stderr } = await runCommand(Quantize, args)
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
}

/** Quantizes by a plan of typical errors: where what is measured changes nothing of what is asked. */
async function runUnmeasured(folder: string, model: string, path: string, ...args: string[]): Promise<void> {
  const file = join(folder, `${randomUUID()}.json`)
  const { exitCode, stderr } = await runCommand(PlanCommand, [model, ...args, '--no-measure', '-o', file])
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
  await run(model, '--plan', file, '-o', path)
}

async function plan(...args: string[]): Promise<Plan & { readonly error?: { readonly code: string; readonly message: string } }> {
  const { stdout } = await runCommand(PlanCommand, [...args, '--json'])
  return JSON.parse(stdout)
}

const samples = ['samples/llama-kjv', 'samples/deepseek-kjv-moe'] as const

describe('budgets', () => {
  let folder: string

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mq-budgets-'))
  })

  afterAll(async () => {
    await rm(folder, { recursive: true, force: true })
  })

  it.each(samples)('--size of %s: the file is as large as asked, never larger', async (sample) => {
    const path = join(folder, `${sample.replaceAll('/', '-')}.gguf`)
    await runUnmeasured(folder, sample, path, '--size', '2.5MB')
    const { size } = await stat(path)
    expect(size).toBeLessThanOrEqual(2_500_000)
    expect(size).toBeGreaterThan(0.99 * 2_500_000)
  })

  it('--size of quantize itself, which measures, counts the headers of all shards', async () => {
    const stem = join(folder, 'split')
    const small = join(folder, 'one-layer')
    await writeOneLayerSample(small)
    await run(small, '--size', '800KB', '--split-max-size', '60KB', '-o', `${stem}.gguf`)
    const shards = (await readdir(folder)).filter((name) => name.startsWith('split-'))
    expect(shards.length).toBeGreaterThan(5)
    const sizes = await Promise.all(shards.map(async (name) => (await stat(join(folder, name))).size))
    const total = sizes.reduce((sum, size) => sum + size, 0)
    expect(total).toBeLessThanOrEqual(800_000)
    expect(total).toBeGreaterThan(0.98 * 800_000)
  })

  /** All buffers that llama.cpp reports for a file, in MiB. */
  function reportedMebibytes(path: string): number {
    const [report] = llamaBuffers?.report(path, [{ context: 2000, cacheType: 'Q8_0' }]) ?? []
    if (report === undefined) throw new Error('no report')
    return (report.modelBytes + report.kvCacheBytes + report.computeBytes + report.outputBytes) / 2 ** 20
  }
  const context = ['--ctx', '2000', '--cache-type', 'q8_0']

  it.skipIf(llamaBuffers === undefined).each(samples)('--fit of %s: llama.cpp reports no more than asked', async (sample) => {
    const path = join(folder, `${sample.replaceAll('/', '-')}-fit.gguf`)
    await runUnmeasured(folder, sample, path, '--fit', '14MiB', ...context)
    const reported = reportedMebibytes(path)
    expect(reported).toBeLessThan((14.02 / 14) * 14)
    expect(reported).toBeGreaterThan(0.97 * 14)
  })

  it.skipIf(llamaBuffers === undefined)('--fit of quantize itself, which measures: no more than asked', async () => {
    const path = join(folder, 'one-layer-fit.gguf')
    await writeOneLayerSample(join(folder, 'one-layer'))
    await run(join(folder, 'one-layer'), '--fit', '7.2MiB', ...context, '-o', path)
    const reported = reportedMebibytes(path)
    expect(reported).toBeLessThan((14.02 / 14) * 7.2)
    expect(reported).toBeGreaterThan(0.97 * 7.2)
  })

  it('holds floors and ties', async () => {
    const path = join(folder, 'bounded.gguf')
    const bounds = ['--floor', 'attention=Q6_K', '--floor', 'shared-expert-down=Q8_0', '--tie', 'gate,up']
    await runUnmeasured(folder, samples[1], path, '--bits', '4', ...bounds)
    const written = await openGguf(path)
    await written.close()
    const types = new Map(written.tensors.map(({ name, type }) => [name, type]))
    const bits = (name: string): number => ggmlType(types.get(name) ?? 'F32').bitsPerWeight
    for (const name of types.keys()) {
      if (/attn_(?:q|kv|k_b|v_b|output)/.test(name)) expect(bits(name), name).toBeGreaterThanOrEqual(6.5)
      if (name.includes('ffn_down_shexp')) expect(bits(name), name).toBeGreaterThanOrEqual(8.5)
      if (name.includes('ffn_gate') && !name.includes('gate_inp')) {
        expect(types.get(name), name).toBe(types.get(name.replace('ffn_gate', 'ffn_up')))
      }
    }
  })

  it.each([
    [['--size', '1MB'], 'BUDGET_IMPOSSIBLE', /The budget of 1MB is below the minimum for this model: 1\.\d+MB\./],
    [
      ['--fit', '4MiB', '--ctx', '512'],
      'BUDGET_IMPOSSIBLE',
      /at a context of 512 is below the minimum for this model: [\d.]+MB, of which [\d.]+MB are KV cache and compute buffers/,
    ],
    [['--bits', '3', '--floor', 'heads=Q4_K'], 'FLAG_INVALID', /no role heads; there are attention, dense, .*attention-k/],
    [['--bits', '3', '--floor', 'experts=Q4_K'], 'FLAG_INVALID', /the model has no experts/],
    [['--bits', '3', '--floor', 'attention=Q9_K'], 'FLAG_INVALID', /no type Q9_K/],
    [['--bits', '3', '--floor', 'attention'], 'FLAG_INVALID', /not ROLE=TYPE/],
    [
      ['--bits', '3', '--candidate', 'Q9_0'],
      'FLAG_INVALID',
      /--candidate Q9_0: there is no quantized type Q9_0; besides IQ1_S, .*Q2_0/,
    ],
    [['--bits', '3', '--tie', 'gate'], 'FLAG_INVALID', /at least two/],
    [['--preset', 'Q4_K_M', '--tie', 'gate,up'], 'FLAGS_CONFLICT', /need --bits, --size or --fit/],
    [['--bits', '3', '--size', '2MB'], 'USAGE', /bits/],
    [['--size', '2 apples'], 'FLAG_INVALID', /not a size/],
  ] as const)('refuses %j', async (flags, code, message) => {
    const { error } = await plan(samples[0], ...flags, ...(flags[0] === '--preset' ? [] : ['--no-measure']))
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) })
  })

  it('can be made as small as it says is the least', async () => {
    const { error } = await plan(samples[0], '--size', '1MB', '--no-measure')
    const least = /minimum for this model: ([\d.]+MB)/.exec(error?.message ?? '')?.[1] ?? ''
    const { goal } = await plan(samples[0], '--size', least, '--no-measure')
    expect(goal).toBe(`a file of ${least}`)
  })
})
