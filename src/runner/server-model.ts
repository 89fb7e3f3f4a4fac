import { resolve } from 'node:path'
import { openGguf } from '../../formats/gguf/index.js'
import { findProgram } from './external.js'
import type { GenerateOptions, LoadOptions } from './options.js'
import type { ChatMessage, Generated, ModelInfo, Sampling } from './protocol.js'
import { serverPlacement } from './server-placement.js'
import { ServerProcess } from './server-process.js'
import { completeSampling, type TextModel } from './text-model.js'

/** Context length in tokens, where the model was trained on no less, as of the embedded llama.cpp. */
const defaultContext = 4096

/** Statistics of an answer, as llama-server has them: counts of tokens, and milliseconds. */
interface Timings {
  readonly cache_n?: number
  readonly prompt_n?: number
  readonly prompt_ms?: number
  readonly predicted_n?: number
  readonly predicted_ms?: number
}

/**
 * Loads a model with the user's llama-server.
 * @param directory folder of llama.cpp's programs.
 * @param options placement, threads and context length; by default as llama-server has them, and up to 4096 tokens as trained.
 * @throws MqError LLAMA_MISSING, MODEL_REJECTED, INTERRUPTED; FormatError of a file that is no GGUF.
 */
export async function loadWithServer(path: string, directory: string, options: LoadOptions = {}): Promise<TextModel> {
  const program = await findProgram('llama-server', directory)
  const file = await openGguf(path)
  const { metadata } = file
  await file.close()
  const { args, env } = serverPlacement(options)
  const text = (key: string): string | undefined => {
    const value = metadata.get(key)?.value
    return typeof value === 'string' ? value : undefined
  }
  const trained = metadata.get(`${text('general.architecture') ?? ''}.context_length`)?.value
  const contextLength = options.contextLength ?? Math.min(typeof trained === 'number' ? trained : defaultContext, defaultContext)
  const all = ['--model', resolve(path), '--parallel', '1', '--ctx-size', String(contextLength), ...args]
  const server = await ServerProcess.start(program, path, { args: all, env }, options.signal)
  const template = text('tokenizer.chat_template')
  const number = <Name extends string>(name: Name, key: string): { readonly [name in Name]?: number } => {
    const value = metadata.get(`general.sampling.${key}`)?.value
    return (typeof value === 'number' ? { [name]: value } : {}) as { readonly [name in Name]?: number }
  }
  const description = `${text('general.name') ?? path}, by ${program}`
  return new ServerModel(path, server, {
    description,
    ...(template !== undefined && { chatTemplate: template }),
    sampling: {
      ...number('temperature', 'temp'),
      ...number('topK', 'top_k'),
      ...number('topP', 'top_p'),
      ...number('minP', 'min_p'),
    },
  })
}

class ServerModel implements TextModel {
  readonly path: string
  readonly info: Pick<ModelInfo, 'description' | 'chatTemplate' | 'sampling'>
  readonly #server: ServerProcess

  constructor(path: string, server: ServerProcess, info: ServerModel['info']) {
    this.path = path
    this.info = info
    this.#server = server
  }

  sampling(options: Partial<Sampling>): Sampling {
    return completeSampling(options, this.info.sampling)
  }

  async *generate(options: GenerateOptions): AsyncGenerator<string, Generated, void> {
    const { maxTokens = -1, stop = [], signal } = options
    const body = { ...settingsOf(this.sampling(options)), stop, stream: true, cache_prompt: true }
    const messages = this.#messagesOf(options)
    const steps =
      messages === undefined
        ? this.#server.stream('/completion', { ...body, prompt: promptOf(options), n_predict: maxTokens }, signal)
        : // What a model thinks is a part of its text here.
          this.#server.stream(
            '/v1/chat/completions',
            { ...body, messages, max_tokens: maxTokens, reasoning_format: 'none' },
            signal,
          )
    let timings: Timings = {}
    let stopped: Generated['stopped'] = 'end'
    for await (const step of steps) {
      const { text, reason } = messages === undefined ? ofCompletion(step, maxTokens) : ofChat(step, maxTokens)
      if (typeof step['timings'] === 'object') timings = step['timings'] as Timings
      if (reason !== undefined) stopped = reason
      if (text !== '') yield text
    }
    const { cache_n: cachedTokens = 0, prompt_n: computed = 0, prompt_ms: prompt = 0 } = timings
    const { predicted_n: tokens = 0, predicted_ms: predicted = 0 } = timings
    const [promptSeconds, seconds] = [prompt / 1000, predicted / 1000]
    return { tokens, promptTokens: cachedTokens + computed, cachedTokens, promptSeconds, seconds, stopped }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.close()
  }

  /** Messages for the chat template; undefined where the prompt is sent as it is. */
  #messagesOf({ messages, prompt, raw = false }: GenerateOptions): readonly ChatMessage[] | undefined {
    if (messages !== undefined) return messages
    if (raw || typeof prompt !== 'string' || !this.info.chatTemplate?.trim()) return undefined
    return [{ role: 'user', content: prompt }]
  }
}

function promptOf({ prompt }: GenerateOptions): string | number[] {
  if (prompt === undefined) throw new TypeError('a prompt or messages are needed')
  return typeof prompt === 'string' ? prompt : [...prompt]
}

/** Sampling parameters under the names of llama-server. */
function settingsOf(sampling: Sampling): Record<string, unknown> {
  return {
    temperature: sampling.temperature,
    top_k: sampling.topK,
    top_p: sampling.topP,
    min_p: sampling.minP,
    repeat_penalty: sampling.repeatPenalty,
    repeat_last_n: sampling.repeatLastN,
    frequency_penalty: sampling.frequencyPenalty,
    presence_penalty: sampling.presencePenalty,
    seed: sampling.seed,
    ...(sampling.grammar !== undefined && { grammar: sampling.grammar }),
    ...(sampling.logitBias !== undefined && { logit_bias: sampling.logitBias }),
  }
}

interface Step {
  readonly text: string
  readonly reason?: Generated['stopped']
}

/** A step of /completion. */
function ofCompletion(step: Record<string, unknown>, maxTokens: number): Step {
  const text = typeof step['content'] === 'string' ? step['content'] : ''
  if (step['stop'] !== true) return { text }
  const kinds: Readonly<Record<string, Generated['stopped']>> = { word: 'stop', limit: limitOf(maxTokens) }
  return { text, reason: kinds[String(step['stop_type'])] ?? 'end' }
}

/** A step of /v1/chat/completions. */
function ofChat(step: Record<string, unknown>, maxTokens: number): Step {
  const [choice] = (step['choices'] ?? []) as readonly { finish_reason?: string | null; delta?: { content?: string | null } }[]
  const text = choice?.delta?.content ?? ''
  if (typeof choice?.finish_reason !== 'string') return { text }
  return { text, reason: choice.finish_reason === 'length' ? limitOf(maxTokens) : 'end' }
}

/** Which limit ended an answer: llama-server has one word for both. */
function limitOf(maxTokens: number): Generated['stopped'] {
  return maxTokens < 0 ? 'context' : 'length'
}
