import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { digestGguf } from '../../../../bench/coverage/digest.js'
import { exactnessOf, widthOptions } from '../../../../bench/widening/exactness.js'
import { isCopy } from '../../../../src/engine/index.js'
import type { Blueprint } from '../../../../src/model/blueprint.js'
import { makeBlueprint } from '../../../../src/model/convert/index.js'
import { narrow, usefulChanges, type Widths, widen } from '../../../../src/model/widen/index.js'
import { placementOf, reversed } from '../../../../src/model/widen/placement.js'
import { planUniform } from '../../../../src/plan/index.js'
import { finish } from '../../../../src/progress/index.js'
import { quantize } from '../../../../src/quantize/index.js'
import { coverageBlueprint, specOf } from '../../../support/coverage-checkpoints.js'
import { llama } from '../../../support/sample-models.js'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-widen-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** A tiny checkpoint of a family, with widths of 32 to 96. */
const tiny = (name: string): Promise<Blueprint> => coverageBlueprint(folder, name)

async function written(blueprint: Blueprint, name: string): Promise<string> {
  const path = join(folder, name)
  await finish(quantize({ blueprint, plan: planUniform(blueprint, 'F32'), output: path, threads: 1, force: true }))
  return path
}

/**
 * Gemma 4's experts have a GELU that llama.cpp looks up by 16 bits, which shows the order in which sums are made: with all zeros at the end
 * of a whole vector the logits are the same to the bit (`npm run bench -- widening exact` has all families).
 */
describe.skipIf(!llama.available)(`a widened model computes the same (${llama.name})`, () => {
  test.each([
    'llama',
    'mixtral',
    'qwen2',
    'qwen3-moe',
    'qwen3-next',
    'qwen3.5',
    'gemma3',
    'deepseek',
    'deepseek-v2-lite',
    'deepseek-v3',
    'glm4',
    'glm4.6',
    'gpt-oss',
    'phi3',
    'ministral3',
    'minimax-m2',
    'seed-oss',
    'llama4',
    'nemotron3-nano',
    'granite',
    'lfm2',
    'exaone4',
    'olmo2',
    'falcon-h1',
    'bailing-moe2',
    'grovemoe',
    'kimi-linear',
    'afmoe',
    'minimax-m3',
    'granite-moe-swa',
    'nemotron3-puzzle',
  ])('%s', async (name) => {
    const all = (blueprint: Blueprint): Widths[] => widthOptions(blueprint).slice(-1)
    for await (const { widths, logits, divergence } of exactnessOf(specOf(name), folder, { choose: all })) {
      expect(Object.keys(widths)).toContain('embedding_length')
      expect(logits).toBeLessThan(1e-4)
      expect(divergence).toBeLessThan(1e-7)
    }
  })
})

describe('a file of a widened model', () => {
  test.each(['llama', 'deepseek-v3', 'gemma2'])(
    '%s: narrowed again it is what it was, but for the rounding of norms',
    async (name) => {
      const blueprint = await tiny(name)
      const before = await digestGguf(await written(blueprint, `${name}.gguf`))
      const wide = await makeBlueprint(await written(widen(blueprint, usefulChanges(blueprint)), `${name}-wide.gguf`))
      expect(wide.widened?.widths.embedding_length).toEqual({ from: 64, to: 256 })
      const elements = (model: Blueprint): number =>
        model.tensors.reduce((sum, { shape, modelElements = shape.reduce((a, b) => a * b, 1) }) => sum + modelElements, 0)
      expect(elements(wide)).toBe(elements(blueprint))
      const after = await digestGguf(await written(narrow(wide), `${name}-narrow.gguf`))
      const scaled = (key: string): boolean => /norm|eh_proj|epsilon|key_length|value_length|token_embd/.test(key)
      for (const part of ['keys', 'tensors'] as const) {
        const same = (digest: typeof before): [string, unknown][] => Object.entries(digest[part]).filter(([key]) => !scaled(key))
        expect(same(after)).toEqual(same(before))
        expect(Object.keys(before[part]).filter((key) => !Object.hasOwn(after[part], key))).toEqual([])
      }
    },
  )

  test.each<[string, Widths, string, RegExp]>([
    [
      'qwen2',
      { embedding_length: 96 + 16 * 3 },
      'WIDTH_FIXED',
      /the heads of qwen2 models to be hidden_size wide together: it can be widened to multiples of 32/,
    ],
    ['qwen2', { 'attention.head_count': 8 }, 'WIDTH_FIXED', /the heads of qwen2 models/],
    [
      'mamba',
      { embedding_length: 256 },
      'WIDTH_FIXED',
      /llama.cpp takes the inner width of the state space to be twice as large/,
    ],
    ['gemma3n', { feed_forward_length: 256 }, 'WIDTH_FIXED', /mean and standard deviation of all/],
    ['bitnet', { feed_forward_length: 256 }, 'WIDTH_FIXED', /norms of their own, over all of them/],
    ['minicpm3', { embedding_length: 256 }, 'WIDTH_FIXED', /llama.cpp divides the output by it/],
    ['deepseek-ocr', { embedding_length: 256 }, 'WIDTH_FIXED', /takes all keys together to be as wide/],
    ['qwen', { feed_forward_length: 256 }, 'WIDTH_FIXED', /feed-forward matrices to be half as wide/],
    ['north-mini-code', { embedding_length: 256 }, 'WIDTH_FIXED', /its norms are not RMS norms/],
    ['deepseek-v4', { embedding_length: 256 }, 'WIDTH_FIXED', /mq does not know how deepseek4 models/],
    ['stablelm', { embedding_length: 256 }, 'WIDTH_FIXED', /its norms are not RMS norms/],
    ['rwkv7', { embedding_length: 256 }, 'WIDTH_FIXED', /mq does not know how rwkv7 models/],
    ['llama', { 'attention.head_count': 5 }, 'OPTION_INVALID', /neither 4 nor a larger multiple of the 2 key-value heads/],
    ['llama', { embedding_length: 100 }, 'OPTION_INVALID', /neither 64 nor a larger multiple of 32/],
    ['llama', { embedding_length: 32 }, 'OPTION_INVALID', /neither 64 nor a larger multiple of 32/],
    ['llama', { expert_feed_forward_length: 256 }, 'WIDTH_FIXED', /expert_feed_forward_length/],
  ])('%s to %o is refused', async (name, widths, code, message) => {
    const blueprint = await tiny(name)
    expect(() => widen(blueprint, widths)).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }))
  })

  test('of Baichuan 13B keeps its heads, whose number gives the biases of attention', async () => {
    const blueprint = { ...(await tiny('baichuan')), layers: 40 }
    expect(() => widen(blueprint, { embedding_length: 320 })).toThrow(expect.objectContaining({ code: 'WIDTH_FIXED' }))
    expect(usefulChanges(blueprint)).toEqual({ feed_forward_length: 256 })
  })

  test('of Gemma 2 27B keeps the width that its queries are scaled by', async () => {
    const blueprint = { ...(await tiny('gemma2')), layers: 46 }
    expect(() => widen(blueprint, { embedding_length: 256 })).toThrow(expect.objectContaining({ code: 'WIDTH_FIXED' }))
    expect(widen(blueprint, { feed_forward_length: 256 }).widened).toBeDefined()
  })

  test('is not widened again, and only such a file is narrowed', async () => {
    const blueprint = await tiny('llama')
    const wide = widen(blueprint, { feed_forward_length: 256 })
    expect(() => widen(wide, { embedding_length: 256 })).toThrow(expect.objectContaining({ code: 'WIDTH_FIXED' }))
    expect(() => narrow(blueprint)).toThrow(expect.objectContaining({ code: 'OPTION_INVALID' }))
  })
})

test('columns of a width keep their order, in whole grains, spread evenly, and come back', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 200 }),
      fc.integer({ min: 0, max: 40 }),
      fc.integer({ min: 1, max: 2 }),
      fc.constantFrom(1, 8, 32),
      (grains, more, parts, grain) => {
        const [size, wider] = [grain * grains, grain * (grains + more)]
        const runs = placementOf(parts * size, parts * wider, parts, grain)
        const places = placesOf(runs, parts * wider)
        for (let at = 0; at < runs.length; at += 3) {
          const run = runs.slice(at, at + 3)
          expect(run.map((value) => value % grain)).toEqual([0, 0, 0])
        }
        expect(places.filter((place) => place !== -1)).toEqual(Array.from({ length: parts * size }, (_, at) => at))
        // Between any two neighbours among the grains there are as many zeros as elsewhere, within one grain.
        const gaps = runs.flatMap((to, at) =>
          at % 3 === 1 && at > 1 ? [to - (runs[at - 3] as number) - (runs[at - 2] as number)] : [],
        )
        if (parts === 1 && gaps.length > 0) expect(Math.max(...gaps) - Math.min(...gaps)).toBeLessThanOrEqual(grain)
        expect(reversed(reversed(runs))).toEqual(runs)
      },
    ),
  )
  expect(placementOf(64, 96, 2, 0)).toEqual([0, 0, 32, 32, 48, 32])
})

function placesOf(runs: readonly number[], size: number): number[] {
  const places = Array.from({ length: size }, () => -1)
  for (let at = 0; at < runs.length; at += 3) {
    const [from, to, count] = runs.slice(at, at + 3) as [number, number, number]
    for (let i = 0; i < count; i++) places[to + i] = from + i
  }
  return places
}

test('blocks of a source that holds them are copied, among whole blocks of zeros', async () => {
  const blueprint = await tiny('gpt-oss')
  const wide = widen(blueprint, usefulChanges(blueprint))
  expect(wide.widened?.grain).toBe(32)
  const experts = wide.tensors.filter(({ name }) => name.endsWith('_exps.weight'))
  expect(experts.length).toBeGreaterThan(0)
  for (const { recipe } of experts) expect(isCopy(recipe, 'MXFP4')).toBe(true)
})
