import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  type CompletionStep,
  type Generated,
  type GenerateOptions,
  type LlamaModel,
  loadModel,
} from '../../../src/runner/index.js'
import { llama, sampleModels } from '../../support/sample-models.js'

type Whole = Generated & { readonly text: string; readonly steps: readonly CompletionStep[] }

async function whole(model: LlamaModel, options: GenerateOptions): Promise<Whole> {
  const running = model.complete({ temperature: 0, raw: true, ...options })
  const steps: CompletionStep[] = []
  for (;;) {
    const step = await running.next()
    if (step.done === true) return { ...step.value, steps, text: steps.map(({ text }) => text).join('') }
    steps.push(step.value)
  }
}

/** Sentences of other lengths, so that sequences stand at other positions. */
const prompts = [
  'In the beginning',
  'And it came to pass in those days, that',
  'Who art thou?',
  'The king of Israel said unto all the people of the land, Behold, I will',
  'And',
]

describe.skipIf(!llama.available)(`completions side by side (${llama.name})`, () => {
  let models: Awaited<ReturnType<typeof sampleModels>>
  let model: LlamaModel

  beforeAll(async () => {
    models = await sampleModels()
    // F32: sums do not depend on how many rows are computed together
    model = await loadModel(await models.make('llama-kjv', 'F32'), { contextLength: 256, slots: 3 })
  })
  afterAll(async () => {
    await model.close()
    await models[Symbol.asyncDispose]()
  })

  it('are what each is alone, more of them than there are slots', async () => {
    const alone: string[] = []
    for (const prompt of prompts) alone.push((await whole(model, { prompt, maxTokens: 24 })).text)
    const together = await Promise.all(prompts.map((prompt) => whole(model, { prompt, maxTokens: 24 })))
    expect(together.map(({ text }) => text)).toEqual(alone)
    expect(new Set(alone).size).toBe(prompts.length)
  })

  it('compute what their prompts have in common once', async () => {
    const long = 'And the LORD spake unto Moses, saying, Speak unto the children of Israel, and say unto them. '.repeat(6)
    const [first, ...others] = await Promise.all(['A', 'B', 'C'].map((end) => whole(model, { prompt: long + end, maxTokens: 4 })))
    const tokens = (await model.tokenize(long)).length
    expect(first?.cachedTokens).toBeLessThan(tokens / 4)
    for (const { cachedTokens } of others) expect(cachedTokens).toBeGreaterThan(tokens - 4)
    const fresh = await whole(model, { prompt: 'Fresh', maxTokens: 1 })
    expect(fresh.cachedTokens).toBeLessThan(2)
    expect((await whole(model, { prompt: `${long}B`, maxTokens: 4 })).text).toBe(others[0]?.text)
  })

  it('end before a stop string, also one of several tokens', async () => {
    const prompt = 'And it came to pass in those days, that'
    const { text } = await whole(model, { prompt, maxTokens: 24 })
    const stop = text.slice(20, 27)
    const stopped = await whole(model, { prompt, maxTokens: 24, stop: ['never in it', stop] })
    expect(stopped).toMatchObject({ stopped: 'stop', text: text.slice(0, text.indexOf(stop)) })
  })

  it('tell log probabilities: those of the softmax, the most likely first', async () => {
    const { steps, tokens } = await whole(model, { prompt: 'In the', maxTokens: 6, logprobs: model.info.vocabulary })
    const described = steps.flatMap((step) => step.tokens ?? [])
    expect(described).toHaveLength(tokens)
    for (const { token, logprob, top } of described) {
      // greedy: the first of all is the one taken
      expect(top[0]).toMatchObject({ token, logprob })
      expect(top.reduce((sum, one) => sum + Math.exp(one.logprob), 0)).toBeCloseTo(1, 5)
      expect(top.every((one, index) => index === 0 || one.logprob <= (top[index - 1]?.logprob ?? 0))).toBe(true)
    }
    expect(Buffer.concat(described.map(({ bytes }) => bytes)).toString()).toBe(steps.map(({ text }) => text).join(''))
  })

  it('follow a bias, a penalty and a grammar', async () => {
    const [the] = await model.tokenize(' the')
    const prompt = 'And it came to pass'
    const plain = await whole(model, { prompt, maxTokens: 8 })
    const forced = await whole(model, { prompt, maxTokens: 3, logitBias: [[the as number, 100]] })
    expect(forced.text).toBe(' the the the')
    const penalized = await whole(model, {
      prompt: plain.text,
      maxTokens: 8,
      logitBias: [[the as number, 100]],
      repeatPenalty: 100,
    })
    expect(penalized.text).not.toContain(' the the')
    const grammar = 'root ::= " yes" | " no"'
    expect((await whole(model, { prompt, maxTokens: 8, grammar })).text).toMatch(/^ (?:yes|no)$/)
    await expect(whole(model, { prompt, grammar: 'root ::= (' })).rejects.toMatchObject({ code: 'OPTION_INVALID' })
  })

  it('are cancelled one by one, while they wait, too', async () => {
    const aborts = Array.from({ length: 5 }, () => new AbortController())
    const running = aborts.map(({ signal }, index) =>
      whole(model, { prompt: `${index}`, temperature: 1, maxTokens: 200, signal }),
    )
    const all = Promise.allSettled(running)
    aborts[4]?.abort()
    aborts[0]?.abort()
    const ended = await all
    expect(ended.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled', 'fulfilled', 'rejected'])
    expect(ended[0]).toMatchObject({ reason: { code: 'INTERRUPTED' } })
  })

  it('refuse weights that compute no numbers, before any text', async () => {
    const bytes = await readFile(model.path)
    for (let index = 1; index <= 4096; index += 1) bytes.writeUInt32LE(0x7fc00000, bytes.length - 4 * index)
    const path = join(models.folder, 'nan.gguf')
    await writeFile(path, bytes)
    await using broken = await loadModel(path)
    const running = broken.complete({ prompt: 'And', raw: true })
    await expect(running.next()).rejects.toMatchObject({ code: 'ACTIVATIONS_NOT_FINITE' })
  })

  it('refuse tokens that are not there', async () => {
    await expect(whole(model, { prompt: Int32Array.of(1, 2 ** 30) })).rejects.toMatchObject({ code: 'OPTION_INVALID' })
    await expect(whole(model, { prompt: new Int32Array(0) })).rejects.toMatchObject({ code: 'OPTION_INVALID' })
  })
})
