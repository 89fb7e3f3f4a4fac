import { stat } from 'node:fs/promises'
import { MqError } from '../errors/index.js'
import type { LlamaModel } from '../runner/index.js'
import { Refusal } from './answers.js'

/** A model that can be asked for. */
export interface ModelOverview {
  readonly name: string
  readonly sizeBytes?: number | undefined
  readonly loaded: boolean
}

/** Where models come from. */
export interface ModelSource {
  /** Of those that there are. */
  list(): Promise<readonly { readonly name: string; readonly sizeBytes?: number | undefined }[]>
  /** The full name that a name stands for, and its file. @throws MqError MODEL_NOT_FOUND; Refusal. */
  find(name: string | undefined): Promise<{ readonly name: string; readonly path: string }>
  load(path: string, signal: AbortSignal): Promise<LlamaModel>
  /** Bytes that a model takes beside its file. */
  extraBytes(path: string): Promise<number>
}

/** A model in use: released when its answer is over. */
export interface Lease {
  readonly name: string
  readonly model: LlamaModel
  release(): void
}

interface Entry {
  readonly name: string
  readonly bytes: number
  readonly loading: Promise<LlamaModel>
  model?: LlamaModel
  users: number
  usedAt: number
}

export interface PoolOptions {
  /** Bytes that loaded models may take together. */
  readonly memoryBytes: number
  /** Requests that a model may have, running and waiting. */
  readonly maxUsers: number
  readonly log?: ((line: string) => void) | undefined
}

/**
 * Keeps models loaded as long as there is memory: for another one those that nobody uses are unloaded, the longest unused first. A model
 * that alone is larger than the memory is loaded where no other is.
 */
export class ModelPool {
  readonly #source: ModelSource
  readonly #options: PoolOptions
  readonly #entries = new Map<string, Entry>()
  readonly #abort = new AbortController()
  #turn: Promise<unknown> = Promise.resolve()

  constructor(source: ModelSource, options: PoolOptions) {
    this.#source = source
    this.#options = options
  }

  async list(): Promise<ModelOverview[]> {
    const models = await this.#source.list()
    return models.map(({ name, sizeBytes }) => ({ name, sizeBytes, loaded: this.#entries.get(name)?.model !== undefined }))
  }

  /** Requests under way and waiting, of all models; models that are loaded. */
  get load(): { readonly requests: number; readonly models: number } {
    const entries = [...this.#entries.values()]
    const requests = entries.reduce((sum, { users }) => sum + users, 0)
    return { requests, models: entries.filter(({ model }) => model !== undefined).length }
  }

  /** @param requests completions that will run. @throws MqError MODEL_NOT_FOUND and those of loading; Refusal 429 where too many wait, 503 where memory is taken. */
  async acquire(name: string | undefined, requests = 1): Promise<Lease> {
    const found = await this.#source.find(name)
    const before = this.#living(found.name)
    if ((before?.users ?? 0) + requests > this.#options.maxUsers && before !== undefined && before.users > 0) {
      throw new Refusal(429, 'queue_full', 'Too many requests are waiting for this model.', { retryAfter: 1 })
    }
    if (before !== undefined) before.users += requests
    const entry = before ?? (await this.#enter(found, requests))
    let released = false
    const release = (): void => {
      if (released) return
      released = true
      entry.users -= requests
      entry.usedAt = performance.now()
    }
    try {
      return { name: entry.name, model: await entry.loading, release }
    } catch (error) {
      release()
      throw error
    }
  }

  async close(): Promise<void> {
    this.#abort.abort()
    await Promise.allSettled([...this.#entries.values()].map(async (entry) => (await entry.loading).close()))
  }

  /** One at a time: two models that are loaded at once must not both count on the same memory. */
  async #enter(found: { readonly name: string; readonly path: string }, requests: number): Promise<Entry> {
    const turn = this.#turn.then(async () => {
      const there = this.#living(found.name)
      if (there !== undefined) {
        there.users += requests
        return there
      }
      const { size } = await stat(found.path).catch((error: unknown) => {
        throw MqError.from(error, found.name)
      })
      const bytes = size + (await this.#source.extraBytes(found.path))
      await this.#makeRoom(bytes)
      this.#options.log?.(`loading ${found.name}`)
      const loading = this.#source.load(found.path, this.#abort.signal)
      const entry: Entry = { name: found.name, bytes, loading, users: requests, usedAt: performance.now() }
      this.#entries.set(found.name, entry)
      void this.#settle(entry)
      return entry
    })
    this.#turn = turn.catch(() => {})
    return await turn
  }

  /** Forgets what did not load: the next request tries again. */
  async #settle(entry: Entry): Promise<void> {
    try {
      entry.model = await entry.loading
    } catch {
      this.#remove(entry)
    }
  }

  async #makeRoom(bytes: number): Promise<void> {
    const taken = (): number => [...this.#entries.values()].reduce((sum, entry) => sum + entry.bytes, 0)
    while (this.#entries.size > 0 && taken() + bytes > this.#options.memoryBytes) {
      const idle = [...this.#entries.values()].filter(({ users }) => users === 0)
      const oldest = idle.toSorted((a, b) => a.usedAt - b.usedAt)[0]
      if (oldest === undefined) {
        throw new Refusal(503, 'memory_full', 'The memory is taken by models that are in use.', { retryAfter: 5 })
      }
      this.#options.log?.(`unloading ${oldest.name}`)
      this.#remove(oldest)
      await (await oldest.loading.catch(() => undefined))?.close()
    }
  }

  /** A model that can be asked. One whose llama.cpp has ended, for whatever reason, is forgotten, and loaded again. */
  #living(name: string): Entry | undefined {
    const entry = this.#entries.get(name)
    if (entry?.model?.isClosed !== true) return entry
    this.#remove(entry)
    return undefined
  }

  #remove(entry: Entry): void {
    if (this.#entries.get(entry.name) === entry) this.#entries.delete(entry.name)
  }
}
