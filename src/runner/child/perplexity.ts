import { MqError } from '../../errors.js'
import type { PerplexityRequest, PerplexityStep } from '../protocol.js'
import type { Context } from './context.js'
import { type LoadedModel, tokenize } from './model.js'

/** Rows of logits that the model gives for one chunk, with the tokens that came instead. */
export interface ScoredRows {
  /** Row-major [rows, vocabulary], valid only while it is handed over. */
  readonly logits: Float32Array
  /** The token that stands in the text after each row's position. */
  readonly targets: Int32Array
}

export interface TextChunks {
  readonly tokens: Int32Array
  readonly contextLength: number
  readonly count: number
}

/**
 * Cuts a text into the chunks that llama-perplexity scores: disjoint, `contextLength` tokens each, the rest left out.
 * @throws MqError TEXT_TOO_SHORT below two chunks.
 */
export function cutText(
  model: LoadedModel,
  { text, contextLength, chunks = Number.POSITIVE_INFINITY }: PerplexityRequest,
): TextChunks {
  const tokens = tokenize(model, { text, special: true, parseSpecial: false })
  const needed = 2 * contextLength
  if (tokens.length < needed) throw MqError.of('TEXT_TOO_SHORT', { file: 'The text', tokens: tokens.length, needed })
  return { tokens, contextLength, count: Math.min(chunks, Math.floor(tokens.length / contextLength)) }
}

/**
 * Runs chunks through the model, as many together as its batch holds, and hands the logits of each chunk's scored positions over in the
 * order of the text: those from contextLength / 2 on, but the last, each against the token after it. Every chunk starts with BOS where
 * the vocabulary adds it. Yields the number of chunks done.
 * Source: perplexity() in tools/perplexity/perplexity.cpp of llama.cpp.
 */
export async function* scoreChunks(
  model: LoadedModel,
  { tokens, contextLength, count }: TextChunks,
  score: (rows: ScoredRows) => void,
): AsyncGenerator<number, void, void> {
  const { batch } = model.options
  const sequences = Math.max(1, Math.min(256, Math.floor(batch / contextLength)))
  const context = await model.context({ contextLength, sequences, batch: Math.min(batch, sequences * contextLength) })
  for (let chunk = 0; chunk < count; chunk += sequences) {
    const together = Math.min(sequences, count - chunk)
    context.clear()
    for (let position = 0; position < contextLength; position += context.size.batch) {
      const end = Math.min(position + context.size.batch, contextLength)
      await scorePart(model, context, tokens, { chunk, together, position, end }, score)
    }
    yield chunk + together
  }
}

/** -ln p of the tokens that perplexity scores. */
export async function* perplexity(
  model: LoadedModel,
  request: PerplexityRequest,
): AsyncGenerator<PerplexityStep, { tokens: number }, void> {
  const chunks = cutText(model, request)
  let values: number[] = []
  const score = ({ logits, targets }: ScoredRows): void => {
    const vocabulary = logits.length / targets.length
    targets.forEach((target, row) => {
      values.push(negativeLogLikelihood(logits.subarray(row * vocabulary, (row + 1) * vocabulary), target))
    })
  }
  for await (const chunksDone of scoreChunks(model, chunks, score)) {
    yield { chunksDone, chunks: chunks.count, negativeLogLikelihoods: Float64Array.from(values) }
    values = []
  }
  return { tokens: chunks.tokens.length }
}

/** -ln softmax(logits)[target], natural logarithm, summed in double precision. */
export function negativeLogLikelihood(logits: Float32Array, target: number): number {
  let max = Number.NEGATIVE_INFINITY
  for (let index = 0; index < logits.length; index += 1) max = Math.max(max, logits[index] as number)
  let sum = 0
  for (let index = 0; index < logits.length; index += 1) sum += Math.exp((logits[index] as number) - max)
  return max - (logits[target] as number) + Math.log(sum)
}

interface Part {
  /** First chunk, and how many run together. */
  readonly chunk: number
  readonly together: number
  /** Positions of each chunk, the end excluded. */
  readonly position: number
  readonly end: number
}

async function scorePart(
  model: LoadedModel,
  context: Context,
  tokens: Int32Array,
  { chunk, together, position, end }: Part,
  score: (rows: ScoredRows) => void,
): Promise<void> {
  const { contextLength } = context.size
  const first = Math.max(position, Math.floor(contextLength / 2))
  const rows = Math.min(end, contextLength - 1) - first
  const bos = model.info.addsBos ? model.llama.vocabBos(model.vocab) : undefined
  const starts: number[] = []
  context.batch.clear()
  for (let sequence = 0; sequence < together; sequence += 1) {
    const offset = (chunk + sequence) * contextLength
    for (let at = position; at < end; at += 1) {
      const token = at === 0 && bos !== undefined ? bos : (tokens[offset + at] as number)
      const index = context.batch.add(token, at, sequence, at >= first)
      if (at === first) starts[sequence] = index
    }
  }
  await context.decode()
  if (rows <= 0) return
  for (const [sequence, index] of starts.entries()) {
    const offset = (chunk + sequence) * contextLength + first + 1
    score({ logits: context.logits(index, rows), targets: tokens.subarray(offset, offset + rows) })
  }
}
