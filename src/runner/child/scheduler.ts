import { MqError } from '../../errors/index.js'
import type { CompleteRequest, CompletionStep, Generated } from '../protocol.js'
import { Completion } from './completion.js'
import { Context } from './context.js'
import { cacheOf, defaultContext, type LoadedModel, promptTokens } from './model.js'
import { generationThreads, promptThreads } from './threads.js'

/** Tokens that another slot must have in common with a prompt, beyond the slot's own, to be copied rather than computed. */
const worthCopying = 32

/** Tokens that one decode takes: what llama.cpp computes at a time, so that cancellations are heard between. */
const stepTokens = 512

/** Bytes of a token of any vocabulary, at most. */
const longestToken = 1024

/** Of small models a decode of few tokens is shorter than the way to another thread and back. */
const quickBytes = 64 * 2 ** 20
const quickTokens = 32

interface Job {
  readonly completion: Completion
  readonly signal: AbortSignal
  readonly resolve: (generated: Generated) => void
  readonly reject: (error: unknown) => void
}

/** A sequence of the context, and the completion that uses it. */
interface Slot {
  readonly sequence: number
  /** Tokens whose keys and values are in the KV cache. */
  held: number[]
  job?: Job
}

/**
 * Runs completions together in one context, each as a sequence of its own: every decode takes the next token of those that are writing and
 * parts of the prompts of those that are not yet (continuous batching). A sequence keeps its tokens for prompts that begin alike.
 */
export class Scheduler {
  readonly #model: LoadedModel
  readonly #waiting: Job[] = []
  #slots: Slot[] = []
  #context: Context | undefined
  #isRunning = false

  constructor(model: LoadedModel) {
    this.#model = model
  }

  /** @throws MqError PROMPT_TOO_LONG, ACTIVATIONS_NOT_FINITE, MODEL_UNSUITED; LlamaRefusal; what `signal` was aborted with. */
  async complete(request: CompleteRequest, emit: (step: CompletionStep) => void, signal: AbortSignal): Promise<Generated> {
    const model = this.#model
    if (!model.info.generates) {
      throw MqError.of('MODEL_UNSUITED', { file: model.options.path, problem: 'makes embeddings and no text' })
    }
    const { contextLength } = contextSize(model)
    // Not tokenized for nothing: no token is that long.
    const least = typeof request.prompt === 'string' ? Math.floor(Buffer.byteLength(request.prompt) / longestToken) : 0
    if (least >= contextLength) throw MqError.of('PROMPT_TOO_LONG', { tokens: `more than ${least}`, contextLength })
    const tokens = typeof request.prompt === 'string' ? [...promptTokens(model, request.prompt)] : [...request.prompt]
    if (tokens.length >= contextLength) throw MqError.of('PROMPT_TOO_LONG', { tokens: tokens.length, contextLength })
    checkTokens(tokens, model.info.vocabulary)
    const completion = new Completion(model, request, tokens, contextLength, emit)
    return await new Promise((resolve, reject) => {
      this.#waiting.push({ completion, signal, resolve, reject })
      if (!this.#isRunning) void this.#run()
    })
  }

  /** Decodes until no completion is left. */
  async #run(): Promise<void> {
    this.#isRunning = true
    // Requests that arrive together share the first decode.
    await nextTurn()
    try {
      const context = (this.#context ??= await this.#create())
      for (;;) {
        this.#dropAborted()
        this.#admit()
        if (this.#slots.every(({ job }) => job === undefined)) {
          if (this.#waiting.length === 0) return
          continue
        }
        await this.#step(context)
      }
    } catch (error) {
      this.#failAll(error)
    } finally {
      this.#isRunning = false
    }
  }

  async #create(): Promise<Context> {
    const { llama, address, info, options } = this.#model
    const size = contextSize(this.#model)
    const { slots: sequences } = options
    const context = await Context.create(llama, address, info.vocabulary, {
      ...size,
      sequences,
      outputs: sequences,
      batch: Math.max(sequences, Math.min(options.batch, stepTokens)),
      threads: generationThreads(this.#model),
      batchThreads: promptThreads(this.#model),
      ...cacheOf(this.#model),
    })
    if (context.memory === null) {
      context.free()
      throw MqError.of('MODEL_UNSUITED', { file: options.path, problem: 'keeps no context, and so writes no text' })
    }
    this.#slots = Array.from({ length: sequences }, (_, sequence) => ({ sequence, held: [] }))
    return context
  }

  #dropAborted(): void {
    for (const slot of this.#slots) if (slot.job?.signal.aborted === true) finish(slot, (job) => job.reject(job.signal.reason))
    for (const job of this.#waiting.filter(({ signal }) => signal.aborted)) {
      this.#waiting.splice(this.#waiting.indexOf(job), 1)
      job.completion.free()
      job.reject(job.signal.reason)
    }
  }

  /** Gives free slots to those who wait, in order; of two prompts that begin alike the second waits for what the first computes. */
  #admit(): void {
    const waiting = this.#waiting.slice()
    for (const job of waiting) {
      const free = this.#slots.filter((slot) => slot.job === undefined)
      if (free.length === 0) return
      const { tokens } = job.completion
      const best = free.reduce((a, b) => (inCommon(b.held, tokens) > inCommon(a.held, tokens) ? b : a))
      const own = inCommon(best.held, tokens)
      const computing = this.#slots.some(
        (slot) =>
          slot.job !== undefined &&
          slot.held.length < slot.job.completion.promptTokens &&
          inCommon(slot.job.completion.tokens, tokens) >= own + worthCopying,
      )
      if (computing) continue
      this.#waiting.splice(this.#waiting.indexOf(job), 1)
      best.job = job
      try {
        job.completion.start(this.#reuse(best, tokens))
      } catch (error) {
        finish(best, () => job.reject(error))
      }
    }
  }

  /** Keeps or copies what is there of a prompt. The last token is always computed: its logits are needed. */
  #reuse(slot: Slot, tokens: readonly number[]): number {
    const context = this.#context as Context
    const other = this.#slots.reduce((a, b) => (inCommon(b.held, tokens) > inCommon(a.held, tokens) ? b : a))
    if (other !== slot && inCommon(other.held, tokens) >= inCommon(slot.held, tokens) + worthCopying) {
      context.forget(slot.sequence)
      context.copy(other.sequence, slot.sequence)
      slot.held = [...other.held]
    }
    const kept = Math.min(inCommon(slot.held, tokens), tokens.length - 1)
    const whole = kept > 0 && (kept === slot.held.length || context.keep(slot.sequence, kept))
    if (!whole) context.forget(slot.sequence)
    slot.held = whole ? slot.held.slice(0, kept) : []
    return slot.held.length
  }

  async #step(context: Context): Promise<void> {
    const { batch } = context
    batch.clear()
    const active = this.#slots.filter((slot) => slot.job !== undefined)
    const writing = active.filter(({ held, job }) => held.length >= (job as Job).completion.promptTokens)
    const outputs = new Map<Slot, number>()
    const added = new Map<Slot, readonly number[]>()
    const put = (slot: Slot, count: number): void => {
      const { tokens } = (slot.job as Job).completion
      const part = tokens.slice(slot.held.length, slot.held.length + count)
      for (const [index, token] of part.entries()) {
        const position = slot.held.length + index
        const isLast = position === tokens.length - 1
        const batchIndex = batch.add(token, position, slot.sequence, isLast)
        if (isLast) outputs.set(slot, batchIndex)
      }
      added.set(slot, part)
    }
    for (const slot of writing) put(slot, 1)
    let room = batch.capacity - batch.length
    for (const slot of active.filter((slot) => !writing.includes(slot))) {
      const count = Math.min(room, (slot.job as Job).completion.tokens.length - slot.held.length)
      if (count > 0) put(slot, count)
      room -= count
    }
    const isQuick = this.#model.info.sizeBytes <= quickBytes && batch.length <= quickTokens
    if (isQuick) context.decodeHere()
    else await context.decode()
    for (const [slot, part] of added) slot.held.push(...part)
    for (const [slot, batchIndex] of outputs) this.#sample(context, slot, batchIndex)
    // Cancellations and new requests are heard.
    if (isQuick) await nextTurn()
  }

  #sample(context: Context, slot: Slot, batchIndex: number): void {
    const job = slot.job as Job
    if (job.signal.aborted) return
    try {
      const ended = job.completion.next(context.address, batchIndex, context.logits(batchIndex, 1))
      if (ended !== undefined) finish(slot, () => job.resolve(ended))
    } catch (error) {
      finish(slot, () => job.reject(error))
    }
  }

  #failAll(error: unknown): void {
    for (const slot of this.#slots) {
      finish(slot, ({ reject }) => reject(error))
      slot.held = []
    }
    for (const { completion, reject } of this.#waiting.splice(0)) {
      completion.free()
      reject(error)
    }
    this.#context?.clear()
  }
}

/** Returns the context length in tokens: as requested, else that of the training up to a default. */
export function contextSize({ info, options }: LoadedModel): { readonly contextLength: number } {
  return { contextLength: options.contextLength ?? Math.min(info.trainedContext, defaultContext) }
}

function finish(slot: Slot, tell: (job: Job) => void): void {
  const { job } = slot
  if (job === undefined) return
  delete slot.job
  job.completion.free()
  tell(job)
}

function inCommon(held: readonly number[], tokens: readonly number[]): number {
  const most = Math.min(held.length, tokens.length)
  let count = 0
  while (count < most && held[count] === tokens[count]) count += 1
  return count
}

function checkTokens(tokens: readonly number[], vocabulary: number): void {
  const wrong = tokens.find((token) => !(token >= 0 && token < vocabulary))
  const problem = wrong === undefined ? 'it is empty' : `there is no token ${wrong}`
  if (wrong !== undefined || tokens.length === 0) {
    throw MqError.of('OPTION_INVALID', { option: 'prompt', value: wrong ?? '', problem })
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
