import { MqError } from '../../errors/index.js'
import type { Generated, GenerateRequest } from '../protocol.js'
import type { Address, Llama } from './binding.js'
import type { Context, ContextSize } from './context.js'
import { type LoadedModel, tokenize } from './model.js'
import { pieceDecoder } from './piece-decoder.js'
import { generationThreads } from './threads.js'

const defaultContextLength = 4096

/**
 * Continues a prompt token by token and yields the text as it comes, never cut inside a character.
 * @throws MqError PROMPT_TOO_LONG
 */
export async function* generate(model: LoadedModel, request: GenerateRequest): AsyncGenerator<string, Generated, void> {
  const { llama, vocab, info, options } = model
  const contextLength = options.contextLength ?? Math.min(info.trainedContext, defaultContextLength)
  const prompt = promptTokens(model, request.prompt)
  if (prompt.length >= contextLength) throw MqError.of('PROMPT_TOO_LONG', { tokens: prompt.length, contextLength })
  const batch = Math.min(options.batch, contextLength)
  const context = await emptyContext(model, { contextLength, sequences: 1, batch, threads: generationThreads(model) })
  const startedAt = performance.now()
  await decodePrompt(context, prompt)
  const promptAt = performance.now()

  const sampler = samplerOf(llama, request)
  const decoder = pieceDecoder()
  let tokens = 0
  let stopped: Generated['stopped'] = 'length'
  try {
    while (tokens < request.maxTokens) {
      const token = llama.samplerSample(sampler, context.address, -1)
      if (llama.vocabIsEnd(vocab, token)) {
        stopped = 'end'
        break
      }
      tokens += 1
      const piece = decoder.push(bytesOf(llama, vocab, token))
      if (piece !== '') yield piece
      if (tokens === request.maxTokens) break
      const position = prompt.length + tokens - 1
      if (position >= contextLength) {
        stopped = 'context'
        break
      }
      context.batch.clear()
      context.batch.add(token, position, 0, true)
      await context.decode()
    }
  } finally {
    llama.samplerFree(sampler)
  }
  const rest = decoder.end()
  if (rest !== '') yield rest
  return {
    tokens,
    promptTokens: prompt.length,
    seconds: (performance.now() - promptAt) / 1000,
    promptSeconds: (promptAt - startedAt) / 1000,
    stopped,
  }
}

/** Tokens of a prompt with one BOS where the vocabulary adds it, whether or not the text (as chat templates do) brings its own. */
function promptTokens(model: LoadedModel, text: string): Int32Array {
  const tokens = tokenize(model, { text, special: false, parseSpecial: true })
  const bos = model.llama.vocabBos(model.vocab)
  if (bos < 0 || tokens[0] === bos || (!model.info.addsBos && tokens.length > 0)) return tokens
  // Not spread into arguments: a long prompt has more tokens than a call may have arguments.
  const withBos = new Int32Array(tokens.length + 1)
  withBos[0] = bos
  withBos.set(tokens, 1)
  return withBos
}

async function emptyContext(model: LoadedModel, size: ContextSize): Promise<Context> {
  const [context] = await model.contexts(size, 1)
  if (context === undefined) throw new Error('no context')
  context.clear()
  return context
}

async function decodePrompt(context: Context, prompt: Int32Array): Promise<void> {
  for (let start = 0; start < prompt.length; start += context.size.batch) {
    context.batch.clear()
    prompt.subarray(start, start + context.size.batch).forEach((token, index) => {
      context.batch.add(token, start + index, 0, start + index === prompt.length - 1)
    })
    await context.decode()
  }
}

function samplerOf(llama: Llama, { temperature, topK, topP, minP, seed }: GenerateRequest): Address {
  const chain = llama.samplerChain(llama.samplerChainDefaultParams())
  const steps =
    temperature > 0
      ? [
          llama.samplerTopK(topK),
          llama.samplerTopP(topP, 1),
          llama.samplerMinP(minP, 1),
          llama.samplerTemperature(temperature),
          llama.samplerDraw(seed),
        ]
      : [llama.samplerGreedy()]
  for (const step of steps) llama.samplerAdd(chain, step)
  return chain
}

/** Bytes of a token; a character may go on in the next one. Control tokens have none. */
function bytesOf(llama: Llama, vocab: Address, token: number): Uint8Array {
  const buffer = new Uint8Array(64)
  const length = llama.tokenToPiece(vocab, token, buffer, buffer.length, 0, false)
  if (length >= 0) return buffer.subarray(0, length)
  const larger = new Uint8Array(-length)
  return larger.subarray(0, llama.tokenToPiece(vocab, token, larger, larger.length, 0, false))
}
