import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Progress } from '../../../src/progress/index.js'
import { finish } from '../../../src/progress/index.js'
import { negativeLogLikelihood } from '../../../src/runner/child/perplexity.js'
import { type LlamaModel, loadModel } from '../../../src/runner/index.js'
import { llama, sampleModels, samplePath } from '../../support/sample-models.js'

describe('negativeLogLikelihood', () => {
  it('is -ln of the softmax', () => {
    const logits = Float32Array.of(0, Math.log(2), Math.log(5))
    expect(negativeLogLikelihood(logits, 0)).toBeCloseTo(Math.log(8), 6)
    expect(negativeLogLikelihood(logits, 2)).toBeCloseTo(Math.log(8 / 5), 6)
  })

  it('bears logits beyond the range of exp', () => {
    expect(negativeLogLikelihood(Float32Array.of(1e4, 1e4), 1)).toBeCloseTo(Math.LN2, 12)
    expect(negativeLogLikelihood(Float32Array.of(-1e4, 1e4), 0)).toBe(2e4)
  })
})

describe.skipIf(!llama.available)(`perplexity (${llama.name})`, () => {
  let models: Awaited<ReturnType<typeof sampleModels>>
  let text: string

  beforeAll(async () => {
    models = await sampleModels()
    text = await readFile(samplePath('text/kjv-heldout.txt'), 'utf8')
  })
  afterAll(() => models[Symbol.asyncDispose]())

  /**
   * Figures of llama.cpp 0.7.0: `llama-perplexity -t 1 -m MODEL -f samples/text/kjv-heldout.txt --chunks N -c C -b B`, with --no-repack for
   * deepseek-kjv-moe, on files from llama.cpp's own converter. Other processors sum in another order: up to 1.2e-5 of the value was
   * seen to differ, and 5e-4 is allowed. test/interop/perplexity.test.ts holds both on one machine.
   */
  it.each([
    ['llama-kjv', 'F16', { contextLength: 512, chunks: 5 }, 2048, 43.5206, 3.10471],
    ['llama-kjv', 'Q8_0', { contextLength: 512, chunks: 5 }, 2048, 43.5379, 3.10576],
    ['llama-kjv', 'F16', { contextLength: 128, chunks: 16 }, 2048, 31.0562, 2.54977],
    ['llama-kjv', 'F16', { contextLength: 1024, chunks: 2 }, 1024, 86.6794, 6.88075],
    ['llama-kjv', 'F16', { contextLength: 512, chunks: 2 }, 256, 47.0468, 5.30754],
    ['deepseek-kjv-moe', 'F16', { contextLength: 512, chunks: 5 }, 2048, 55.2526, 4.06226],
  ] as const)('%s at %s, %o, batch %i: %d +- %d', async (sample, type, options, batch, perplexity, standardError) => {
    await using model = await loadModel(await models.make(sample, type), { threads: 2, batch })
    const measured = await finish(model.perplexity(text, options))
    expect(measured.perplexity / perplexity).toBeCloseTo(1, 3)
    expect(measured.standardError / standardError).toBeCloseTo(1, 3)
    expect(measured.chunks).toBe(options.chunks)
    expect(measured.scoredTokens).toBe(options.chunks * (options.contextLength / 2 - 1))
    expect(measured.negativeLogLikelihoods).toHaveLength(measured.scoredTokens)
  })

  describe('of one model', () => {
    let model: LlamaModel

    beforeAll(async () => {
      model = await loadModel(await models.make('llama-kjv', 'Q8_0'), { threads: 2 })
    })
    afterAll(() => model.close())

    it('is the same at any number of threads', async () => {
      await using single = await loadModel(model.path, { threads: 1 })
      const [one, two] = [
        await finish(single.perplexity(text, { chunks: 6 })),
        await finish(model.perplexity(text, { chunks: 6 })),
      ]
      expect(two.negativeLogLikelihoods).toEqual(one.negativeLogLikelihoods)
    })

    it('tells of every chunk', async () => {
      const seen: Progress[] = []
      await finish(model.perplexity(text, { chunks: 6 }), (progress) => seen.push(progress))
      expect(seen.map(({ done }) => done)).toEqual([...new Set(seen.map(({ done }) => done))])
      expect(seen.at(-1)).toEqual({ stage: 'perplexity', done: 6, total: 6, unit: 'chunks' })
      expect(seen.length).toBeGreaterThan(1)
    })

    it('can be left early, and the model used again', async () => {
      for await (const { done } of model.perplexity(text)) if (done > 0) break
      const { chunks } = await finish(model.perplexity(text, { chunks: 1 }))
      expect(chunks).toBe(1)
    })

    it('refuses a text of less than two chunks', async () => {
      await expect(finish(model.perplexity('In the beginning'))).rejects.toMatchObject({
        code: 'TEXT_TOO_SHORT',
        // `llama-tokenize -p 'In the beginning' --ids` gives [2043, 1270, 258, 1946, 1316]
        details: { tokens: 5, needed: 1024 },
      })
    })
  })
})
