import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CheckpointSpec } from '../../bench/coverage/checkpoints/index.js'
import { checkpointSpecs, writeCheckpointOf } from '../../bench/coverage/checkpoints/index.js'
import Convert from '../../commands/convert.js'
import Inspect from '../../commands/inspect.js'
import PlanCommand from '../../commands/plan.js'
import Quantize from '../../commands/quantize.js'
import { loadModel } from '../../src/runner/index.js'
import { fileSha256 } from '../support/digests.js'
import { runCommand } from '../support/run-command.js'
import { llama } from '../support/sample-models.js'

let folder = ''
let source = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-widen-command-'))
  const spec = checkpointSpecs.find(({ name }) => name === 'gpt-oss-bf16') as CheckpointSpec
  source = await writeCheckpointOf(spec, join(folder, 'gpt-oss'), spec.classes[0])
})
afterAll(() => rm(folder, { recursive: true, force: true }))

interface Report {
  readonly bitsPerWeight: number
  readonly elements: number
  readonly dataBytes: number
  readonly notes: readonly string[]
  readonly tensors: readonly { readonly name: string; readonly type: string }[]
  readonly metadata: Readonly<Record<string, { readonly value: unknown }>>
  readonly widths?: unknown
  readonly widened?: readonly string[]
  readonly error?: { readonly code: string; readonly message: string }
}

async function json(command: Parameters<typeof runCommand>[0], ...args: string[]): Promise<Report> {
  const { stdout } = await runCommand(command, [...args, '--json'])
  return JSON.parse(stdout) as Report
}

describe('a model of odd widths', () => {
  test('is quantized, the same by any number of threads', async () => {
    // Of 64 columns in 256 the zeros take the most bytes.
    const refused = await json(PlanCommand, source, '--bits', '2', '--widen', 'always')
    const least = Number(refused.error?.message.match(/model: ([\d.]+)/)?.[1])
    const [one, two] = [join(folder, 'one.gguf'), join(folder, 'two.gguf')]
    const options = ['--widen', 'always', '--bits', String(1.1 * least), '--name', 'wide']
    const report = await json(Quantize, source, ...options, '--threads', '1', '-o', one)
    expect(report.notes.join('\n')).toMatch(/Widened with zeros.*embedding_length from 64 to 256/)
    await json(Quantize, source, ...options, '--threads', '2', '-o', two)
    expect(await fileSha256(two)).toBe(await fileSha256(one))
    // Bits are those of the model's own weights.
    const inspected = await json(Inspect, one)
    const own = await json(Inspect, source)
    expect(inspected.bitsPerWeight).toBeCloseTo(report.bitsPerWeight, 6)
    expect((8 * inspected.dataBytes) / inspected.elements).toBeCloseTo(report.bitsPerWeight, 6)
    expect(report.bitsPerWeight).toBeLessThanOrEqual(1.1 * least)
    expect(Math.abs(inspected.elements - own.elements)).toBeLessThan(0.02 * own.elements)
    expect(inspected.widened).toContain('embedding_length 64 to 256')
    expect(String(inspected.metadata['mq.widened']?.value)).toContain('"embedding_length":{"from":64,"to":256}')
    if (llama.available) {
      await using model = await loadModel(one)
      expect(model.path).toBe(one)
    }
  })

  test('says which width stands in the way of a budget or a type, and what to widen', async () => {
    const refused = await json(PlanCommand, source, '--bits', '2', '--widen', 'none')
    expect(refused.error).toMatchObject({
      code: 'BUDGET_IMPOSSIBLE',
      message: expect.stringMatching(
        /tensors whose rows \(.*64.* values: .*embedding.*\) are not whole blocks of a smaller type/,
      ),
      // Of 64 columns in 256 the zeros take the most bytes: this minimum is higher.
      suggestion: expect.not.stringContaining('widen'),
    })
    const { notes } = await json(PlanCommand, source, '--preset', 'Q4_K_M')
    expect(notes.join('\n')).toMatch(
      /Widen .*moe_intermediate_size=256 \(expert-down\).* to make their rows whole blocks, in a file about \d+ % larger:/,
    )
  })

  test('by a plan that is run again', async () => {
    const plan = join(folder, 'plan.json')
    const [first, again] = [join(folder, 'first.gguf'), join(folder, 'again.gguf')]
    await json(Quantize, source, '--bits', '14', '--widen', 'intermediate_size=256', '-o', first, '--save-plan', plan)
    expect(JSON.parse(await readFile(plan, 'utf8'))).toMatchObject({ widths: { feed_forward_length: 256 } })
    await json(Quantize, source, '--plan', plan, '-o', again)
    expect(await fileSha256(again)).toBe(await fileSha256(first))
  })

  test('is converted wide and back', async () => {
    const [wide, back, plain] = [join(folder, 'wide.gguf'), join(folder, 'back.gguf'), join(folder, 'plain.gguf')]
    await json(Convert, source, '--type', 'f32', '--widen', 'moe_intermediate_size=256', '--name', 'a', '-o', wide)
    await json(Convert, wide, '--type', 'f32', '--narrow', '-o', back)
    await json(Convert, source, '--type', 'f32', '--name', 'a', '-o', plain)
    // No norm was scaled, so that nothing was rounded.
    expect(await fileSha256(back)).toBe(await fileSha256(plain))
  })

  test.each([
    ['wide', /it is neither auto, none, always nor WIDTH=N with one of hidden_size/],
    ['hidden_size=100', /neither 64 nor a larger multiple of 32/],
    ['heads=4', /neither auto/],
  ])('--widen %s is refused', async (value, message) => {
    const { error } = await json(Convert, source, '--widen', value, '-o', join(folder, 'never.gguf'))
    expect(error).toMatchObject({ code: 'FLAG_INVALID', message: expect.stringMatching(message) })
  })

  test.each<[string, Parameters<typeof runCommand>[0], readonly string[], RegExp]>([
    ['auto without a budget: mq convert', Convert, ['--widen', 'auto'], /^--widen auto: it compares plans of a budget/],
    ['auto without a budget: a preset', PlanCommand, ['--preset', 'Q4_K_M', '--widen', 'auto'], /^--widen auto: it compares/],
    ['auto without a budget: one type', PlanCommand, ['--type', 'Q4_K', '--widen', 'auto'], /^--widen auto: it compares/],
    ['widths beside a plan', Quantize, ['--plan', 'p.json', '--widen', 'always'], /--widen.* cannot also be provided/],
  ])('%s is refused', async (_, command, args, message) => {
    const { error } = await json(command, source, ...args)
    expect(error).toMatchObject({ message: expect.stringMatching(message) })
  })

  test('that cannot grow is said to be left as it is', async () => {
    const sample = 'samples/llama-kjv'
    const note = 'Nothing was widened: all widths are multiples of 256 already, or cannot be widened in this architecture.'
    const converted = await json(Convert, sample, '--widen', 'always', '-o', join(folder, 'same.gguf'))
    expect(converted.notes).toContain(note)
    expect((await json(PlanCommand, sample, '--type', 'Q4_K', '--widen', 'always')).notes).toContain(note)
  })
})
