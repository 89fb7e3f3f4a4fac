import type { SpeedRequest, SpeedSample } from '../protocol.js'
import { Context } from './context.js'
import { cacheOf, type LoadedModel } from './model.js'
import { LlamaRefusal } from './refusal.js'
import { generationThreads, promptThreads } from './threads.js'

/** Calls between two checks for cancellation. */
const callsBetween = 8

/**
 * Times prompts or single tokens on an empty context, after one run that is not counted, as llama-bench does: random tokens, prompts in
 * batches, no sampling. Source: test_prompt and test_gen in tools/llama-bench/llama-bench.cpp of llama.cpp.
 */
export async function* speed(model: LoadedModel, request: SpeedRequest): AsyncGenerator<SpeedSample, undefined, void> {
  const { promptTokens, generatedTokens, repetitions, warmUp } = request
  const { llama, address, info, options } = model
  const contextLength = Math.max(1, promptTokens + generatedTokens)
  const context = await Context.create(llama, address, info.vocabulary, {
    contextLength,
    sequences: 1,
    outputs: 1,
    batch: Math.max(1, Math.min(options.batch, contextLength)),
    threads: generationThreads(model),
    batchThreads: promptThreads(model),
    ...cacheOf(model),
  })
  try {
    if (context.memory === null) throw new LlamaRefusal('the model keeps no context')
    for (let repetition = warmUp ? -1 : 0; repetition < repetitions; repetition += 1) {
      context.clear()
      const isFirst = repetition < 0
      const startedAt = performance.now()
      // The first run, not counted, brings the weights into memory: one batch or one token does.
      await decodePrompt(context, info.vocabulary, isFirst ? Math.min(promptTokens, context.size.batch) : promptTokens)
      await decodeTokens(context, info.vocabulary, promptTokens, isFirst ? Math.min(1, generatedTokens) : generatedTokens)
      llama.synchronize(context.address)
      const seconds = (performance.now() - startedAt) / 1000
      if (!isFirst) yield { seconds }
    }
  } finally {
    context.free()
  }
  return undefined
}

async function decodePrompt(context: Context, vocabulary: number, count: number): Promise<void> {
  for (let start = 0; start < count; start += context.size.batch) {
    context.batch.clear()
    const end = Math.min(count, start + context.size.batch)
    for (let position = start; position < end; position += 1) {
      context.batch.add(randomToken(vocabulary), position, 0, position === end - 1)
    }
    await context.decode()
  }
}

async function decodeTokens(context: Context, vocabulary: number, start: number, count: number): Promise<void> {
  for (let index = 0; index < count; index += 1) {
    context.batch.clear()
    context.batch.add(randomToken(vocabulary), start + index, 0, true)
    context.decodeHere()
    if (index % callsBetween === 0) await new Promise((resolve) => setImmediate(resolve))
  }
}

function randomToken(vocabulary: number): number {
  return Math.floor(Math.random() * vocabulary)
}
