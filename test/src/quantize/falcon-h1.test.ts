import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { writeCheckpointOf } from '../../../bench/coverage/checkpoints/index.js'
import { ggmlType } from '../../../formats/ggml/types.js'
import { type Blueprint, makeBlueprint } from '../../../src/model/index.js'
import { makePlan, type Plan, type PlanRequest } from '../../../src/plan/index.js'
import { finish } from '../../../src/progress/index.js'
import { assembleParts, quantize, quantizePart } from '../../../src/quantize/index.js'
import { specOf } from '../../support/coverage-checkpoints.js'

// Attention and state space in every layer: matrices of kinds without a role of their own.

let folder = ''
let model: Blueprint
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-falcon-h1-'))
  model = await makeBlueprint(await writeCheckpointOf(specOf('falcon-h1'), join(folder, 'model')))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const planOf = (request: PlanRequest): Promise<Plan> => finish(makePlan(model, request, { threads: 1 }))

it('has read every field of config.json, and takes its tokenizer', () => {
  expect(model.notes.join('\n')).not.toMatch(/does not know/)
  expect(new Map(model.metadata).get('tokenizer.ggml.pre')?.value).toBe('falcon-h1')
})

it('keeps state-space matrices at Q8_0 or above under a budget, and convolutions and steps in F32', async () => {
  const { tensors } = await planOf({ kind: 'bits', bits: 6.5 })
  const typesOf = (part: RegExp): string[] => [...new Set(tensors.filter(({ name }) => part.test(name)).map(({ type }) => type))]
  expect(typesOf(/ssm_(?:in|out)/)).toEqual(['Q8_0'])
  expect(typesOf(/ssm_(?:a|d|dt|conv1d)\b/)).toEqual(['F32'])
  const others = tensors.filter(({ name }) => /ffn|attn_[qkv]|attn_output/.test(name) && !name.includes('norm'))
  expect(Math.min(...others.map(({ type }) => ggmlType(type).bitsPerWeight))).toBeLessThan(8)
})

it('says the lowest minimum of all widths where none fits the budget', async () => {
  const asked = { kind: 'bits', bits: 2.51 } as const
  const narrow = await finish(makePlan(model, asked, { threads: 1, widen: 'none' })).catch((error: unknown) => error)
  expect(narrow).toMatchObject({ code: 'BUDGET_IMPOSSIBLE' })
  await expect(planOf(asked)).rejects.toMatchObject({ message: (narrow as Error).message })
})

it('says that its memory cannot be computed', async () => {
  const fit = { kind: 'fit', memory: { bytes: 2 ** 30, text: '1GiB' }, run: { context: 512 } } as const
  await expect(planOf(fit)).rejects.toMatchObject({ code: 'FOOTPRINT_UNKNOWN' })
})

it('is the same bytes in one run, in parts of an array, and from its own shards', async () => {
  const plan = await planOf({ kind: 'bits', bits: 6.5 })
  const options = (output: string, splitMaxBytes?: number) => ({
    blueprint: model,
    plan,
    output: join(folder, output),
    threads: 1,
    ...(splitMaxBytes !== undefined && { splitMaxBytes }),
  })
  const whole = await finish(quantize(options('whole.gguf')))
  const split = await finish(quantize(options('split.gguf', 20_000)))
  expect(split.files.length).toBeGreaterThan(3)
  for (const number of [1, 2, 3]) {
    await finish(quantizePart(options('array.gguf'), { number, of: 3 }))
    await finish(quantizePart(options('shards.gguf', 20_000), { number, of: 3 }))
  }
  const array = await finish(assembleParts(options('array.gguf'), 3))
  expect(await readFile(array.path)).toEqual(await readFile(whole.path))
  const shards = await finish(assembleParts(options('shards.gguf', 20_000), 3))
  expect(shards.files.length).toBe(split.files.length)
  for (const [index, path] of shards.files.entries()) {
    expect(await readFile(path)).toEqual(await readFile(split.files[index] as string))
  }
  const again = await makeBlueprint(split.path)
  const requantized = async (blueprint: Blueprint, output: string): Promise<Buffer> => {
    const copy = await finish(makePlan(blueprint, { kind: 'type', type: 'Q8_0' }, { threads: 1 }))
    const { path } = await finish(quantize({ blueprint, plan: copy, output: join(folder, output), threads: 1 }))
    return readFile(path)
  }
  expect(await requantized(again, 'one.gguf')).toEqual(await requantized(await makeBlueprint(whole.path), 'two.gguf'))
})
