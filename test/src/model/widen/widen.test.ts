import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type CheckpointSpec, checkpointSpecs, writeCheckpointOf } from '../../../../bench/coverage/checkpoints/index.js'
import { digestGguf } from '../../../../bench/coverage/digest.js'
import type { Blueprint } from '../../../../src/model/blueprint.js'
import { makeBlueprint } from '../../../../src/model/convert/index.js'
import { narrow, usefulGrowths, type Widths, widen } from '../../../../src/model/widen/index.js'
import { placementOf, reversed } from '../../../../src/model/widen/placement.js'
import { planUniform } from '../../../../src/plan/index.js'
import { finish } from '../../../../src/progress/index.js'
import { quantize } from '../../../../src/quantize/index.js'
import { loadModel } from '../../../../src/runner/index.js'
import { llama, samplePath } from '../../../support/sample-models.js'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-widen-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const specOf = (name: string): CheckpointSpec => checkpointSpecs.find((spec) => spec.name === name) as CheckpointSpec

/** A tiny checkpoint of a family, with widths of 32 to 96. */
async function tiny(name: string): Promise<Blueprint> {
  const spec = specOf(name)
  return makeBlueprint(await writeCheckpointOf(spec, join(folder, name), spec.classes[0]), { pre: spec.pre })
}

async function written(blueprint: Blueprint, name: string): Promise<string> {
  const path = join(folder, name)
  await finish(quantize({ blueprint, plan: planUniform(blueprint, 'F32'), output: path, threads: 1, force: true }))
  return path
}

/** The mean KL divergence of a file from logits that were saved. */
async function divergence(path: string, base: string, text: string): Promise<number> {
  await using model = await loadModel(path, { threads: 1, contextLength: 256 })
  const { divergences } = await finish(model.compareLogits(base, text, { chunks: 2 }))
  return divergences.reduce((sum, value) => sum + value, 0) / divergences.length
}

/**
 * Base logits are kept in 16 bits, so that the model itself diverges by 1e-6 from them. Of Nemotron-H, whose state-space norms have the same
 * epsilon as those that grow, the tiny values of the test are within reach of it.
 */
describe.skipIf(!llama.available)(`a widened model computes the same (${llama.name})`, () => {
  test.each([
    ['llama', 1e-7],
    ['mixtral', 1e-7],
    ['qwen2', 1e-7],
    ['qwen3-moe', 1e-7],
    ['gemma2', 1e-7],
    ['deepseek-v3', 1e-7],
    ['glm4.5-air', 1e-7],
    ['gpt-oss', 1e-7],
    ['nemotron3-nano', 1e-6],
  ])('%s', async (name, most) => {
    const blueprint = await tiny(name)
    const text = (await readFile(samplePath('text/kjv-heldout.txt'), 'utf8')).slice(0, 20_000)
    const path = await written(blueprint, `${name}.gguf`)
    const base = join(folder, `${name}.base`)
    {
      await using model = await loadModel(path, { threads: 1, contextLength: 256 })
      await finish(model.saveLogits(base, text, { contextLength: 64, chunks: 2 }))
    }
    const itself = await divergence(path, base, text)
    const growths = usefulGrowths(blueprint)
    expect(Object.keys(growths).length).toBeGreaterThan(0)
    const wide = await written(widen(blueprint, growths), `${name}-wide.gguf`)
    expect(Math.abs((await divergence(wide, base, text)) - itself)).toBeLessThan(most)
  })
})

describe('a file of a widened model', () => {
  test.each(['llama', 'deepseek-v3', 'gemma2'])(
    '%s: narrowed again it is what it was, but for the rounding of norms',
    async (name) => {
      const blueprint = await tiny(name)
      const before = await digestGguf(await written(blueprint, `${name}.gguf`))
      const wide = await makeBlueprint(await written(widen(blueprint, usefulGrowths(blueprint)), `${name}-wide.gguf`))
      expect(wide.widened?.embedding_length).toEqual({ from: 64, to: 256 })
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
    ['qwen2', { embedding_length: 256 }, 'WIDTH_FIXED', /embedding_length cannot be widened: a model of qwen2/],
    ['mamba', { embedding_length: 256 }, 'WIDTH_FIXED', /mq does not know how mamba models/],
    ['llama', { embedding_length: 100 }, 'OPTION_INVALID', /neither 64 nor a larger multiple of 32/],
    ['llama', { embedding_length: 32 }, 'OPTION_INVALID', /neither 64 nor a larger multiple of 32/],
    ['llama', { expert_feed_forward_length: 256 }, 'WIDTH_FIXED', /expert_feed_forward_length/],
  ])('%s to %o is refused', async (name, widths, code, message) => {
    const blueprint = await tiny(name)
    expect(() => widen(blueprint, widths)).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }))
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

test('columns of a width keep their order, in whole sub-blocks, and come back', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 200 }),
      fc.integer({ min: 0, max: 3 }),
      fc.integer({ min: 1, max: 2 }),
      (blocks, more, parts) => {
        const size = 32 * blocks
        const wider = 256 * (Math.ceil(blocks / 8) + more)
        const runs = placementOf(parts * size, parts * wider, parts)
        const places = Array.from({ length: parts * wider }, () => -1)
        for (let at = 0; at < runs.length; at += 3) {
          const [from, to, count] = runs.slice(at, at + 3) as [number, number, number]
          if ((from | to | count) % 32 !== 0) expect([from, to, count]).toEqual('whole sub-blocks')
          for (let i = 0; i < count; i++) places[to + i] = from + i
        }
        const real = places.filter((place) => place !== -1)
        expect(real).toEqual(Array.from({ length: parts * size }, (_, at) => at))
        // As many in one super-block as in any other, within one sub-block.
        const used = Array.from(
          { length: wider / 256 },
          (_, at) => places.slice(256 * at, 256 * at + 256).filter((at) => at !== -1).length,
        )
        expect(Math.max(...used) - Math.min(...used)).toBeLessThanOrEqual(32)
        expect(reversed(reversed(runs))).toEqual(runs)
      },
    ),
  )
})
