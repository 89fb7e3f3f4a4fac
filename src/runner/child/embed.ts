import { MqError } from '../../errors/index.js'
import type { Embeddings, EmbedRequest, Ranking, RerankRequest } from '../protocol.js'
import { Context } from './context.js'
import { type LoadedModel, tokenize } from './model.js'
import { contextSize } from './scheduler.js'
import { promptThreads } from './threads.js'

/** Maximum texts in one decode. */
const together = 16

/** Computes embeddings and rerank scores in a context of its own, one request at a time. */
export class Embedder {
  readonly #model: LoadedModel
  #context: Context | undefined
  #last: Promise<unknown> = Promise.resolve()

  constructor(model: LoadedModel) {
    this.#model = model
  }

  /** Computes normalized embeddings. @throws MqError PROMPT_TOO_LONG; MODEL_UNSUITED where the model defines no pooling; LlamaRefusal. */
  async embed({ inputs }: EmbedRequest): Promise<Embeddings> {
    const { pooling, embeddingLength } = this.#model.info
    if (pooling === 'none' || pooling === 'rank') {
      const problem =
        pooling === 'rank' ? 'ranks documents and makes no embeddings' : 'does not say how token vectors become one embedding'
      throw MqError.of('MODEL_UNSUITED', { file: this.#model.options.path, problem })
    }
    const texts = inputs.map((input) =>
      typeof input === 'string' ? tokenize(this.#model, { text: input, special: true, parseSpecial: true }) : input,
    )
    const vectors = await this.#compute(texts, embeddingLength)
    return { vectors: vectors.map(normalized), tokens: tokensOf(texts) }
  }

  /** Scores documents for a query. @throws MqError MODEL_UNSUITED where the model has no head for it; PROMPT_TOO_LONG; LlamaRefusal. */
  async rerank({ query, documents }: RerankRequest): Promise<Ranking> {
    if (this.#model.info.pooling !== 'rank') {
      throw MqError.of('MODEL_UNSUITED', { file: this.#model.options.path, problem: 'has no head that ranks documents' })
    }
    const pairs = documents.map((document) => rankTokens(this.#model, query, document))
    const scores = await this.#compute(pairs, Math.max(1, this.#model.info.classes))
    return { scores: scores.map(([score = Number.NaN]) => score), tokens: tokensOf(pairs) }
  }

  /** Computes the vectors of texts, group by group: they are valid until the next decode. */
  async #compute(texts: readonly Int32Array[], length: number): Promise<Float32Array[]> {
    const work = this.#last.then(() => this.#vectors(texts, length))
    this.#last = work.catch(() => {})
    return await work
  }

  async #vectors(texts: readonly Int32Array[], length: number): Promise<Float32Array[]> {
    const context = (this.#context ??= await this.#create())
    const { contextLength } = context.size
    const { vocabulary } = this.#model.info
    for (const text of texts) {
      if (text.length > contextLength) throw MqError.of('PROMPT_TOO_LONG', { tokens: text.length, contextLength })
      const wrong = text.find((token) => token < 0 || token >= vocabulary)
      if (wrong !== undefined || text.length === 0) {
        const problem = wrong === undefined ? 'it is empty' : 'there is no such token'
        throw MqError.of('OPTION_INVALID', { option: 'input', value: wrong ?? '', problem })
      }
    }
    const vectors: Float32Array[] = []
    for (let start = 0; start < texts.length; start = vectors.length) {
      context.clear()
      let sequence = 0
      while (sequence < together && start + sequence < texts.length) {
        const text = texts[start + sequence] as Int32Array
        if (context.batch.length + text.length > context.batch.capacity) break
        text.forEach((token, position) => void context.batch.add(token, position, sequence, true))
        sequence += 1
      }
      await context.decode()
      for (let index = 0; index < sequence; index += 1) vectors.push(context.embedding(index, length).slice())
    }
    for (const vector of vectors) {
      if (!vector.every(Number.isFinite)) throw MqError.of('ACTIVATIONS_NOT_FINITE', { tensor: 'the output' })
    }
    return vectors
  }

  async #create(): Promise<Context> {
    const { llama, address, info, options } = this.#model
    const contextLength = Math.min(contextSize(this.#model).contextLength, info.trainedContext, options.batch)
    const threads = promptThreads(this.#model)
    const { pooling } = info
    return await Context.create(llama, address, info.vocabulary, {
      contextLength,
      sequences: together,
      batch: contextLength,
      threads,
      pooling,
      flashAttention: options.flashAttention,
    })
  }
}

/**
 * Tokenizes a query and a document in the form of the training: with the model's rerank template, else with its special tokens.
 * Source: format_prompt_rerank in tools/server/server-common.cpp of llama.cpp.
 */
function rankTokens(model: LoadedModel, query: string, document: string): Int32Array {
  const { llama, vocab, address } = model
  const template = llama.modelChatTemplate(address, 'rerank')
  if (template !== null) {
    const text = template.replaceAll('{query}', () => query).replaceAll('{document}', () => document)
    return tokenize(model, { text, special: false, parseSpecial: true })
  }
  const plain = (text: string): Int32Array => tokenize(model, { text, special: false, parseSpecial: false })
  const [bos, eos, sep] = [llama.vocabBos(vocab), llama.vocabEos(vocab), llama.vocabSep(vocab)]
  const end = llama.vocabAddsEos(vocab) ? [eos < 0 ? sep : eos] : []
  return Int32Array.from([
    ...(llama.vocabAddsBos(vocab) ? [bos] : []),
    ...plain(query),
    ...end,
    ...(llama.vocabAddsSep(vocab) ? [sep] : []),
    ...plain(document),
    ...end,
  ])
}

function normalized(vector: Float32Array): Float32Array {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0))
  return length === 0 ? vector : vector.map((value) => value / length)
}

function tokensOf(texts: readonly Int32Array[]): number {
  return texts.reduce((sum, { length }) => sum + length, 0)
}
