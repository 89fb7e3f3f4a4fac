import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { pieceDecoder } from '../../../src/runner/child/piece-decoder.js'
import { type Generated, type GenerateOptions, type LlamaModel, loadModel } from '../../../src/runner/index.js'
import { llama, sampleModels } from '../../support/sample-models.js'

async function write(model: LlamaModel, options: GenerateOptions): Promise<Generated & { text: string }> {
  const pieces = model.generate(options)
  let text = ''
  for (;;) {
    const step = await pieces.next()
    if (step.done === true) return { text, ...step.value }
    text += step.value
  }
}

describe('pieceDecoder', () => {
  it('never cuts a character, wherever its bytes are cut', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.array(fc.nat(64)), (text, cuts) => {
        const bytes = new TextEncoder().encode(text)
        const decoder = pieceDecoder()
        const pieces: string[] = []
        let start = 0
        for (const cut of [...cuts, bytes.length]) {
          pieces.push(decoder.push(bytes.subarray(start, start + cut)))
          start = Math.min(start + cut, bytes.length)
        }
        expect(pieces.filter((piece) => /\p{Surrogate}/u.test(piece))).toEqual([])
        expect(pieces.join('') + decoder.end()).toBe(text)
      }),
    )
  })

  it('shows what never became a character', () => {
    const decoder = pieceDecoder()
    expect(decoder.push(Uint8Array.of(0x61, 0xe2, 0x82))).toBe('a')
    expect(decoder.end()).toBe('\uFFFD')
  })
})

describe.skipIf(!llama.available)(`generate (${llama.name})`, () => {
  let models: Awaited<ReturnType<typeof sampleModels>>
  let model: LlamaModel

  beforeAll(async () => {
    models = await sampleModels()
    model = await loadModel(await models.make('llama-kjv', 'F16'), { contextLength: 64 })
  })
  afterAll(async () => {
    await model.close()
    await models[Symbol.asyncDispose]()
  })

  /** `llama-completion -m MODEL -p 'And it came to pass in those days, that' --temp 0 -n 40 -no-cnv` of llama.cpp 0.7.0. */
  it.each([
    [
      'llama-kjv',
      ' the LORD spake unto Moses, saying, Speak unto the children of Israel, and say unto them, Thus saith the LORD, the God of Israel, and the LORD hath given you to the hand',
    ],
    [
      'deepseek-kjv-moe',
      ' the king of Israel had made a man, and said, I will not go to pass, that I may be a man of the LORD, and I will not go to pass, and I will',
    ],
  ] as const)('%s writes at temperature 0 what llama-completion does', async (sample, expected) => {
    await using fresh = await loadModel(await models.make(sample, 'F16'))
    const request = { prompt: 'And it came to pass in those days, that', raw: true, temperature: 0, maxTokens: 40 }
    const { text, tokens, stopped } = await write(fresh, request)
    expect(text).toBe(expected)
    expect({ tokens, stopped }).toEqual({ tokens: 40, stopped: 'length' })
    expect((await write(fresh, request)).text).toBe(expected)
  })

  it('draws the same text from the same seed, and another from another', async () => {
    const request = { prompt: 'Who art thou?', temperature: 1, maxTokens: 20 }
    const [first, again, other] = [
      await write(model, { ...request, seed: 7 }),
      await write(model, { ...request, seed: 7 }),
      await write(model, { ...request, seed: 8 }),
    ]
    expect(again.text).toBe(first.text)
    expect(other.text).not.toBe(first.text)
  })

  it('ends where the context does', async () => {
    const { tokens, promptTokens, stopped } = await write(model, { prompt: 'And', raw: true, temperature: 0 })
    expect(stopped).toBe('context')
    // the last token needs no room, for nothing is predicted after it
    expect(promptTokens + tokens).toBe(64 + 1)
  })

  it('ends where the model does', async () => {
    await using model = await loadModel(
      // "the" ends its answers
      await models.make('llama-kjv', 'F16', { 'tokenizer.ggml.eos_token_id': { type: 'uint32', value: 258 } }),
    )
    const [the] = await model.tokenize(' the')
    expect(the).toBe(258)
    const { text, stopped } = await write(model, {
      prompt: 'And it came to pass in those days, that',
      raw: true,
      temperature: 0,
    })
    expect({ text, stopped }).toEqual({ text: '', stopped: 'end' })
  })

  it('refuses a prompt that leaves no room', async () => {
    await expect(write(model, { prompt: 'verily '.repeat(200), raw: true })).rejects.toMatchObject({ code: 'PROMPT_TOO_LONG' })
    // More tokens than a call of a function may have arguments.
    await expect(write(model, { prompt: 'verily '.repeat(200_000), raw: true })).rejects.toMatchObject({
      code: 'PROMPT_TOO_LONG',
    })
  })

  it('can be left early, and the model used again', async () => {
    for await (const piece of model.generate({ prompt: 'And', raw: true, temperature: 0 })) if (piece !== '') break
    const { tokens } = await write(model, { prompt: 'And', raw: true, maxTokens: 3, temperature: 0 })
    expect(tokens).toBe(3)
  })
})
