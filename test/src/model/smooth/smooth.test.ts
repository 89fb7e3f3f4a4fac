import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Blueprint, type Smoothing, smooth, smoothable } from '../../../../src/model/index.js'
import { planUniform } from '../../../../src/plan/index.js'
import { finish } from '../../../../src/progress/index.js'
import { quantize } from '../../../../src/quantize/index.js'
import { powersText, rowLength } from '../../../../src/recipe/index.js'
import { loadModel } from '../../../../src/runner/index.js'
import { coverageBlueprint } from '../../../support/coverage-checkpoints.js'
import { llama, samplePath } from '../../../support/sample-models.js'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-smooth-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** A tiny checkpoint of a family. */
const tiny = (name: string): Promise<Blueprint> => coverageBlueprint(folder, name)

/** Powers from 2^-4 to 2^4 for all that can be scaled. */
function anySmoothing(blueprint: Blueprint): Smoothing {
  return Object.fromEntries(
    smoothable(blueprint).map(({ writer, readers }) => {
      const length = rowLength(readers[0] as Blueprint['tensors'][number])
      return [writer.name, powersText(Array.from({ length }, (_, at) => ((at * 7) % 9) - 4))]
    }),
  )
}

async function perplexity(blueprint: Blueprint, name: string): Promise<readonly number[]> {
  const output = join(folder, name)
  await finish(quantize({ blueprint, plan: planUniform(blueprint, 'F32'), output, threads: 1, force: true }))
  const text = (await readFile(samplePath('text/kjv-heldout.txt'), 'utf8')).slice(0, 20_000)
  await using model = await loadModel(output, { threads: 1, contextLength: 256 })
  const { negativeLogLikelihoods } = await finish(model.perplexity(text, { contextLength: 64, chunks: 2 }))
  return [...negativeLogLikelihoods]
}

describe.skipIf(!llama.available)(`a model with scales moved computes the same, to the last bit (${llama.name})`, () => {
  test.each([
    ['llama', 6],
    ['mixtral', 4],
    ['qwen2', 6],
    ['qwen3', 6],
    ['qwen3-moe', 4],
    ['deepseek-v2', 5],
    ['deepseek-v3', 5],
  ])('%s', async (name, least) => {
    const blueprint = await tiny(name)
    const smoothing = anySmoothing(blueprint)
    expect(Object.keys(smoothing).length).toBeGreaterThanOrEqual(least)
    const before = await perplexity(blueprint, `${name}.gguf`)
    expect(before.length).toBeGreaterThan(20)
    expect(await perplexity(smooth(blueprint, smoothing), `${name}-smooth.gguf`)).toEqual(before)
  })
})

describe('smooth', () => {
  test('leaves alone what the last norm writes: the embedding of a text', async () => {
    const blueprint = await tiny('mixtral')
    expect(blueprint.tensors.map(({ name }) => name)).toContain('output.weight')
    expect(smoothable(blueprint).map(({ writer }) => writer.name)).not.toContain('output_norm.weight')
  })

  test('leaves families alone of which it is not known what reads a norm', async () => {
    expect(smoothable(await tiny('gemma2'))).toEqual([])
  })

  test.each<[string, Smoothing]>([
    ['scales of another length', { 'blk.0.attn_norm.weight': 'mn' }],
    ['scales of a tensor that is no norm', { 'blk.0.attn_q.weight': 'm'.repeat(64) }],
  ])('refuses %s', async (_, smoothing) => {
    const blueprint = await tiny('llama')
    expect(() => smooth(blueprint, smoothing)).toThrow(expect.objectContaining({ code: 'PLAN_MISMATCH' }))
  })
})
