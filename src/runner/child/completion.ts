import type { CompleteRequest, CompletionStep, Generated } from '../protocol.js'
import { type LoadedModel, pieceBytes } from './model.js'
import { pieceDecoder } from './piece-decoder.js'
import { largestLogit, logProbabilities } from './probabilities.js'
import { type Sampler, samplerOf } from './sampler.js'
import { stopStrings } from './stop-strings.js'

/** State of a completion, from its prompt to its last token; free() it. */
export class Completion {
  /** Tokens of the prompt, then generated tokens. */
  readonly tokens: number[]
  readonly promptTokens: number
  /** Number of tokens of the prompt that are in the KV cache. */
  cachedTokens = 0
  readonly #model: LoadedModel
  readonly #request: CompleteRequest
  readonly #contextLength: number
  readonly #emit: (step: CompletionStep) => void
  readonly #decoder = pieceDecoder()
  readonly #stops
  #sampler: Sampler | undefined
  #text = ''
  #isOver = false
  /** Tokens of `held` whose text is in `text`. */
  #told = 0
  #held: NonNullable<CompletionStep['tokens']>[number][] = []
  #startedAt: number | undefined
  #promptAt: number | undefined

  constructor(
    model: LoadedModel,
    request: CompleteRequest,
    tokens: number[],
    contextLength: number,
    emit: (step: CompletionStep) => void,
  ) {
    this.tokens = tokens
    this.promptTokens = tokens.length
    this.#model = model
    this.#request = request
    this.#contextLength = contextLength
    this.#emit = emit
    this.#stops = stopStrings(request.stop)
  }

  /** Starts the completion, before its prompt is computed. @throws MqError OPTION_INVALID for a grammar that cannot be read. */
  start(cachedTokens: number): void {
    this.cachedTokens = cachedTokens
    this.#startedAt = performance.now()
    this.#sampler = samplerOf(this.#model, this.#request.sampling, this.tokens)
  }

  /**
   * Chooses the next token from the logits after the last one, and emits its text.
   * @returns how the completion ended, unless it goes on.
   * @throws MqError ACTIVATIONS_NOT_FINITE.
   */
  next(context: bigint, batchIndex: number, logits: Float32Array): Generated | undefined {
    const { llama, vocab } = this.#model
    const { maxTokens, logprobs } = this.#request
    this.#promptAt ??= performance.now()
    const largest = largestLogit(logits)
    if (maxTokens === 0) return this.#end('length')
    const token = this.#sampler?.sample(context, batchIndex, largest) ?? largest
    if (llama.vocabIsEnd(vocab, token)) return this.#end('end')
    this.tokens.push(token)
    const bytes = pieceBytes(this.#model, token)
    if (logprobs !== undefined) {
      const { logprob, top } = logProbabilities(logits, token, largest, logprobs)
      const described = top.map((one) => ({ ...one, bytes: pieceBytes(this.#model, one.token) }))
      this.#held.push({ token, bytes: bytes.slice(), logprob, top: described })
    }
    const { text, stopped } = this.#stops.push(this.#decoder.push(bytes))
    if (stopped) this.#held = this.#request.whole ? this.#held.slice(0, this.#told) : []
    if (text !== '') this.#hand(text)
    if (stopped) return this.#result('stop')
    if (this.tokens.length - this.promptTokens >= maxTokens) return this.#end('length')
    return this.tokens.length > this.#contextLength ? this.#end('context') : undefined
  }

  free(): void {
    this.#sampler?.free()
    this.#sampler = undefined
  }

  #hand(text: string): void {
    if (this.#request.whole && !this.#isOver) {
      this.#text += text
      this.#told = this.#held.length
      return
    }
    const tokens = this.#held
    this.#held = []
    this.#emit(this.#request.logprobs === undefined ? { text } : { text, tokens })
  }

  /** Emits the remaining text, including what was held back. */
  #end(stopped: Generated['stopped']): Generated {
    const last = this.#stops.push(this.#decoder.end())
    const text = last.stopped ? last.text : last.text + this.#stops.end()
    if (text !== '' || this.#held.length > 0) this.#hand(text)
    return this.#result(last.stopped ? 'stop' : stopped)
  }

  #result(stopped: Generated['stopped']): Generated {
    this.#isOver = true
    if (this.#request.whole && (this.#text !== '' || this.#held.length > 0)) this.#hand(this.#text)
    const now = performance.now()
    const promptAt = this.#promptAt ?? now
    return {
      tokens: this.tokens.length - this.promptTokens,
      promptTokens: this.promptTokens,
      cachedTokens: this.cachedTokens,
      seconds: (now - promptAt) / 1000,
      promptSeconds: (promptAt - (this.#startedAt ?? promptAt)) / 1000,
      stopped,
    }
  }
}
