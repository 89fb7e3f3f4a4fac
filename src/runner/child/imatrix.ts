import koffi from 'koffi'
import { openProducts } from '../../../formats/ggml/products.js'
import { writeImportanceMatrix } from '../../../formats/imatrix/index.js'
import { MqError } from '../../errors/index.js'
import type { CovarianceGroup, CovarianceRequest, ImatrixRequest, ImatrixResult, PerplexityStep } from '../protocol.js'
import type { Address } from './binding.js'
import { Context } from './context.js'
import { describePlan, planCovariance, rankOf } from './covariance-plan.js'
import { type CovarianceSums, covarianceSums } from './covariance-sums.js'
import { distinctRows, inputRows, minTokens, multipliesRows, weightName } from './input-rows.js'
import { addSquares, type InputSums } from './input-sums.js'
import { type InputSurvey, inputSurvey } from './input-survey.js'
import { cacheOf, type LoadedModel } from './model.js'
import { cutText, type TextChunks } from './perplexity.js'
import { ggmlOperation } from './structs.js'
import { bytesOf, type NativeTensor, tensorAt } from './tensor.js'
import { planLanes } from './threads.js'

/** Tokens of one decode, as many as llama.cpp computes at once: more would only hold more logits. */
const batchTokens = 512

/** One batch in this many (the second) is held out of the covariances. */
const leaveOutEvery = 8
/** Of the signs of sketches and of the rows that are kept. Files of one seed can be merged. */
const seed = 1

/**
 * Runs the model over a text, collects the importance matrix and the requested input covariances, and writes them. Every eighth batch of
 * chunks is held out of the covariances, but not of the importance matrix.
 * One context only: the order in which sums are made, and so their last bits, is the same at any number of threads.
 */
export async function* imatrix(model: LoadedModel, request: ImatrixRequest): AsyncGenerator<PerplexityStep, ImatrixResult, void> {
  const chunks = cutText(model, request)
  const { contextLength, first: firstChunk, count } = chunks
  const sums = new Map<string, InputSums>()
  let covariance: Covariances | undefined
  let leftOut = false
  const read = (tensor: NativeTensor): ArrayBuffer => bytesOf(model.llama, tensor)
  const wants = (node: NativeTensor): boolean => {
    if (!multipliesRows(node)) return false
    const name = weightName(node)
    return name.startsWith('blk.') || (request.output && name === 'output.weight') || covariance?.survey.inputs.has(name) === true
  }
  const collect = (node: NativeTensor): void => {
    const name = weightName(node)
    if (name.startsWith('blk.') || (request.output && name === 'output.weight')) {
      addSquares(sums, name, inputRows(node, read), node.operation === ggmlOperation.MUL_MAT_ID)
    }
    if (covariance?.survey.inputs.has(name) === true) covariance.sums.add(name, distinctRows(node, read), leftOut)
  }
  const watch: Watch = { wants, collect }
  const callback = registerCallback(watch)
  const sequences = Math.max(1, Math.floor(batchTokens / contextLength))
  const batch = Math.min(batchTokens, sequences * contextLength)
  const { threads } = planLanes(model, { groups: 1, outputs: batch })
  const size = { contextLength, sequences, batch, threads }
  const context = await Context.create(model.llama, model.address, model.info.vocabulary, {
    ...size,
    ...cacheOf(model),
    evalCallback: callback.address,
  })
  let chunksLeftOut = 0
  try {
    if (request.covariance !== undefined) {
      const survey = inputSurvey()
      watch.wants = (node) => {
        survey.look(node)
        return false
      }
      await callback.guard(decodeChunks(model, context, { ...chunks, contextLength: minTokens }, { first: 0, together: 1 }))
      watch.wants = wants
      covariance = await startCovariances(survey, request.covariance)
    }
    for (let done = 0; done < count; done += sequences) {
      const together = Math.min(sequences, count - done)
      const first = firstChunk + done
      leftOut = (first / sequences) % leaveOutEvery === 1
      chunksLeftOut += leftOut && covariance !== undefined ? together : 0
      await callback.guard(decodeChunks(model, context, chunks, { first, together }))
      yield { chunksDone: done + together, chunks: count }
    }
  } finally {
    context.free()
    callback.unregister()
  }
  const entries = checked(sums)
  const { path, dataset } = request
  await writeImportanceMatrix(path, {
    entries,
    datasets: [dataset],
    chunks: count,
    chunkLength: contextLength,
    covariance: covariance && {
      seed,
      rank: covariance.rank,
      inputOf: covariance.survey.inputOf,
      inputs: covariance.sums.collected(),
    },
  })
  return {
    tokens: chunks.tokens.length,
    chunks: count,
    tensors: [...entries].map(([name, { counts }]) => ({
      name,
      matrices: counts.length,
      unseen: counts.filter((seen) => seen === 0).length,
    })),
    covariance: covariance?.groups ?? [],
    chunksLeftOut,
  }
}

interface Covariances {
  readonly survey: InputSurvey
  readonly sums: CovarianceSums
  readonly groups: readonly CovarianceGroup[]
  readonly rank: number
}

async function startCovariances(survey: InputSurvey, { rank, memory }: CovarianceRequest): Promise<Covariances> {
  const forms = planCovariance(survey.inputs, { rank, memory })
  return {
    survey,
    sums: covarianceSums(survey.inputs, forms, await openProducts(), seed),
    groups: describePlan(survey.inputs, forms, rank),
    rank: rankOf(rank),
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

/** An observer of a graph's nodes. */
interface Watch {
  /** Whether a node is of interest, before it is computed. */
  wants(node: NativeTensor): boolean
  /** Takes a computed node's inputs. */
  collect(node: NativeTensor): void
}

/** A ggml_backend_sched_eval_callback: asked of each node, and told when those that it wants are computed. */
function registerCallback(watch: Watch): {
  readonly address: Address
  /** Throws what went wrong in the callback, before the refusal that it caused. */
  guard(decoding: Promise<void>): Promise<void>
  unregister(): void
} {
  let failure: unknown
  const type = koffi.pointer(koffi.proto('bool (void *tensor, bool asked, void *user_data)'))
  const address: Address = koffi.register((node: Address, asked: boolean) => {
    // llama.cpp knows of no exceptions: what went wrong is kept, and false ends the computation that it comes in
    try {
      const tensor = tensorAt(node)
      if (asked) return watch.wants(tensor)
      watch.collect(tensor)
      return true
    } catch (error) {
      failure ??= error
      return false
    }
  }, type)
  return {
    address,
    async guard(decoding) {
      await decoding.catch((error: unknown) => {
        throw failure ?? error
      })
      if (failure !== undefined) throw failure
    },
    unregister: () => koffi.unregister(address),
  }
}
