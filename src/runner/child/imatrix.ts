import koffi from 'koffi'
import { writeImportanceMatrix } from '../../../formats/imatrix/index.js'
import { MqError } from '../../errors.js'
import type { ImatrixRequest, ImatrixResult, PerplexityStep } from '../protocol.js'
import type { Address } from './binding.js'
import { Context } from './context.js'
import { type InputSums, inputCollector } from './input-sums.js'
import type { LoadedModel } from './model.js'
import { cutText, type TextChunks } from './perplexity.js'
import { bytesOf, tensorAt } from './tensor.js'
import { planLanes } from './threads.js'

/** Tokens of one decode, as many as llama.cpp computes at once: more would only hold more logits. */
const batchTokens = 512

/**
 * Runs a text through the model, collects sums of squares of every weight's inputs, and writes them as an importance matrix.
 * One context only: the order in which sums are made, and so their last bits, is the same at any number of threads.
 */
export async function* imatrix(model: LoadedModel, request: ImatrixRequest): AsyncGenerator<PerplexityStep, ImatrixResult, void> {
  const chunks = cutText(model, request)
  const { contextLength, count } = chunks
  const collector = inputCollector((tensor) => bytesOf(model.llama, tensor), { output: request.output })
  let failure: unknown
  const callback = registerCallback((address, asked) => {
    // llama.cpp knows of no exceptions: what went wrong is kept, and false ends the computation that it comes in
    try {
      const node = tensorAt(address)
      if (asked) return collector.wants(node)
      collector.collect(node)
      return true
    } catch (error) {
      failure ??= error
      return false
    }
  })
  const sequences = Math.max(1, Math.floor(batchTokens / contextLength))
  const batch = Math.min(batchTokens, sequences * contextLength)
  const { threads } = planLanes(model, { groups: 1, outputs: batch })
  const size = { contextLength, sequences, batch, threads }
  const context = await Context.create(model.llama, model.address, model.info.vocabulary, { ...size, evalCallback: callback })
  try {
    for (let first = 0; first < count; first += sequences) {
      const together = Math.min(sequences, count - first)
      await decodeChunks(model, context, chunks, { first, together }).catch((error: unknown) => {
        throw failure ?? error
      })
      yield { chunksDone: first + together, chunks: count }
    }
  } finally {
    context.free()
    koffi.unregister(callback)
  }
  const entries = checked(collector.sums)
  const { path, dataset } = request
  await writeImportanceMatrix(path, { entries, datasets: [dataset], chunks: count, chunkLength: contextLength })
  return {
    tokens: chunks.tokens.length,
    chunks: count,
    tensors: [...entries].map(([name, { counts }]) => ({
      name,
      matrices: counts.length,
      unseen: counts.filter((seen) => seen === 0).length,
    })),
  }
}

/** Decodes chunks as sequences side by side, in parts where they are longer than the batch; every token asks for its output. */
async function decodeChunks(
  model: LoadedModel,
  context: Context,
  { tokens, contextLength }: TextChunks,
  { first, together }: { readonly first: number; readonly together: number },
): Promise<void> {
  const bos = model.info.addsBos ? model.llama.vocabBos(model.vocab) : undefined
  context.clear()
  for (let start = 0; start < contextLength; start += context.size.batch) {
    const end = Math.min(start + context.size.batch, contextLength)
    context.batch.clear()
    for (let sequence = 0; sequence < together; sequence += 1) {
      const offset = (first + sequence) * contextLength
      for (let position = start; position < end; position += 1) {
        const token = position === 0 && bos !== undefined ? bos : (tokens[offset + position] as number)
        context.batch.add(token, position, sequence, true)
      }
    }
    await context.decode()
  }
}

/** The sums as the file has them. @throws MqError ACTIVATIONS_NOT_FINITE */
function checked(
  sums: ReadonlyMap<string, InputSums>,
): ReadonlyMap<string, { readonly sums: Float32Array; readonly counts: readonly number[] }> {
  const entries = new Map<string, { sums: Float32Array; counts: number[] }>()
  for (const [name, { squares, counts }] of sums) {
    const rounded = Float32Array.from(squares)
    if (!rounded.every(Number.isFinite)) throw MqError.of('ACTIVATIONS_NOT_FINITE', { tensor: name })
    entries.set(name, { sums: rounded, counts: [...counts] })
  }
  return entries
}

/** A ggml_backend_sched_eval_callback: asked of each node, and told when those that it wants are computed. */
function registerCallback(call: (tensor: Address, asked: boolean) => boolean): Address {
  const type = koffi.pointer(koffi.proto('bool (void *tensor, bool asked, void *user_data)'))
  return koffi.register(call, type)
}
