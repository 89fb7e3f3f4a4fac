import { scoredOfChunk } from '../../../formats/logits/index.js'
import { MqError } from '../../errors/index.js'
import type { ChunkRange, PerplexityRequest, PerplexityResult, PerplexityStep } from '../protocol.js'
import type { Context } from './context.js'
import { type LoadedModel, tokenize } from './model.js'
import { planLanes } from './threads.js'

/** LLAMA_MAX_SEQ of llama.cpp. */
const maxSequences = 256

/** Rows of logits of one chunk, with the actual next tokens. */
export interface ScoredRows {
  /** Row-major [rows, vocabulary], valid only during the call. */
  readonly logits: Float32Array
  /** Token of the text after each row's position. */
  readonly targets: Int32Array
  /** Of the first row, among the scored rows of the chunks that are looked at. */
  readonly index: number
}

/** Takes rows of logits; the next decode of their context waits for it. */
export type Score = (rows: ScoredRows) => void | Promise<void>

/** Chunks of a text that are evaluated. */
export interface TextChunks {
  /** Of the whole text. */
  readonly tokens: Int32Array
  readonly contextLength: number
  /** The number of the first. */
  readonly first: number
  readonly count: number
}

/**
 * Cuts a text into the chunks that llama-perplexity scores: disjoint, `contextLength` tokens each, the rest left out.
 * @throws MqError TEXT_TOO_SHORT below two chunks.
 */
export function cutText(
  model: LoadedModel,
  { text, contextLength, chunks = Number.POSITIVE_INFINITY, range }: PerplexityRequest,
): TextChunks {
  const tokens = tokenize(model, { text, special: true, parseSpecial: false })
  const needed = 2 * contextLength
  if (tokens.length < needed) throw MqError.of('TEXT_TOO_SHORT', { file: 'The text', tokens: tokens.length, needed })
  return { tokens, contextLength, ...within(range, Math.min(chunks, Math.floor(tokens.length / contextLength))) }
}

/** Clips a range to the existing chunks. @param count number of all chunks. */
export function within(range: ChunkRange | undefined, count: number): { readonly first: number; readonly count: number } {
  const { first, end } = range ?? { first: 0, end: count }
  if (first >= Math.min(end, count)) throw new RangeError(`chunks ${first} to ${end} of ${count}`)
  return { first, count: Math.min(end, count) - first }
}

/**
 * Runs chunks through the model, as many together as its batch holds, and hands over the logits of each chunk's scored positions: those
 * from contextLength / 2 on, but the last, each against the token after it. Every chunk starts with BOS where the vocabulary adds it.
 * Chunks come in no particular order; the rows of one, in that of the text. Yields the number of chunks done.
 * Source: perplexity() in tools/perplexity/perplexity.cpp of llama.cpp.
 */
export async function* scoreChunks(model: LoadedModel, chunks: TextChunks, score: Score): AsyncGenerator<number, void, void> {
  const { contextLength, first: firstChunk, count } = chunks
  const sequences = Math.max(1, Math.min(maxSequences, Math.floor(model.options.batch / contextLength)))
  const batch = Math.min(model.options.batch, sequences * contextLength)
  const groups = Array.from({ length: Math.ceil(count / sequences) }, (_, group) => ({
    firstChunk: firstChunk + group * sequences,
    together: Math.min(sequences, count - group * sequences),
  }))
  const { lanes, threads } = planLanes(model, { groups: groups.length, outputs: Math.ceil(batch / 2) })
  const waiting = groups.values()
  const underWay = new Map<Context, Promise<{ context: Context; together: number }>>()
  const start = (context: Context): void => {
    const group = waiting.next().value
    if (group === undefined) underWay.delete(context)
    else underWay.set(context, scoreGroup(model, context, chunks, group, score))
  }
  let done = 0
  try {
    for (const context of await model.contexts({ contextLength, sequences, batch, threads }, lanes)) start(context)
    while (underWay.size > 0) {
      const { context, together } = await Promise.race(underWay.values())
      start(context)
      done += together
      yield done
    }
  } finally {
    // a context must not be touched while it decodes
    await Promise.allSettled(underWay.values())
  }
}

/** Computes -ln p of the tokens that perplexity scores, in the order of the text. */
export async function* perplexity(
  model: LoadedModel,
  request: PerplexityRequest,
): AsyncGenerator<PerplexityStep, PerplexityResult, void> {
  const chunks = cutText(model, request)
  const negativeLogLikelihoods = new Float64Array(chunks.count * scoredOfChunk(chunks.contextLength))
  const score = ({ logits, targets, index }: ScoredRows): void => {
    const vocabulary = logits.length / targets.length
    targets.forEach((target, row) => {
      const rowLogits = logits.subarray(row * vocabulary, (row + 1) * vocabulary)
      negativeLogLikelihoods[index + row] = negativeLogLikelihood(rowLogits, target)
    })
  }
  for await (const chunksDone of scoreChunks(model, chunks, score)) yield { chunksDone, chunks: chunks.count }
  return { tokens: chunks.tokens.length, chunks: chunks.count, negativeLogLikelihoods }
}

/** Computes -ln softmax(logits)[target] in double precision. */
export function negativeLogLikelihood(logits: Float32Array, target: number): number {
  let max = Number.NEGATIVE_INFINITY
  for (let index = 0; index < logits.length; index += 1) max = Math.max(max, logits[index] as number)
  let sum = 0
  for (let index = 0; index < logits.length; index += 1) sum += Math.exp((logits[index] as number) - max)
  return max - (logits[target] as number) + Math.log(sum)
}

/** Checks that a value computed from logits is a number. @throws MqError ACTIVATIONS_NOT_FINITE */
export function aNumber(value: number): number {
  if (Number.isNaN(value)) throw MqError.of('ACTIVATIONS_NOT_FINITE', { tensor: 'output.weight' })
  return value
}

/** Chunks that are decoded together, each as a sequence of its own. */
interface Group {
  readonly firstChunk: number
  readonly together: number
}

/** Positions of each chunk, the end excluded. */
interface Part {
  readonly start: number
  readonly end: number
}

/** Where a chunk is longer than a batch, it goes through in parts. */
async function scoreGroup(
  model: LoadedModel,
  context: Context,
  chunks: TextChunks,
  group: Group,
  score: Score,
): Promise<{ context: Context; together: number }> {
  const { contextLength } = chunks
  const { batch } = context.size
  context.clear()
  for (let start = 0; start < contextLength; start += batch) {
    await scorePart(model, context, chunks, group, { start, end: Math.min(start + batch, contextLength) }, score)
  }
  return { context, together: group.together }
}

async function scorePart(
  model: LoadedModel,
  context: Context,
  { tokens, contextLength, first: firstOfAll }: TextChunks,
  { firstChunk, together }: Group,
  { start, end }: Part,
  score: Score,
): Promise<void> {
  const firstScored = Math.floor(contextLength / 2)
  const first = Math.max(start, firstScored)
  const rows = Math.min(end, contextLength - 1) - first
  const bos = model.info.addsBos ? model.llama.vocabBos(model.vocab) : undefined
  const batchIndices: number[] = []
  context.batch.clear()
  for (let sequence = 0; sequence < together; sequence += 1) {
    const offset = (firstChunk + sequence) * contextLength
    for (let position = start; position < end; position += 1) {
      const token = position === 0 && bos !== undefined ? bos : (tokens[offset + position] as number)
      const batchIndex = context.batch.add(token, position, sequence, position >= firstScored)
      if (position === first) batchIndices[sequence] = batchIndex
    }
  }
  await context.decode()
  if (rows <= 0) return
  for (const [sequence, batchIndex] of batchIndices.entries()) {
    const chunk = firstChunk + sequence
    const next = chunk * contextLength + first + 1
    await score({
      logits: context.logits(batchIndex, rows),
      targets: tokens.subarray(next, next + rows),
      index: (chunk - firstOfAll) * scoredOfChunk(contextLength) + first - firstScored,
    })
  }
}
