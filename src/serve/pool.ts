import { stat } from 'node:fs/promises'
import { MqError } from '../errors/index.js'
import type { LlamaModel } from '../runner/index.js'
import { Refusal } from './answers.js'

/** A model that a server offers. */
export interface ModelOverview {
  readonly name: string
  readonly sizeBytes?: number | undefined
  readonly loaded: boolean
}

/** Source of models: a file, or a registry. */
export interface ModelSource {
  /** Lists the models. */
  list(): Promise<readonly { readonly name: string; readonly sizeBytes?: number | undefined }[]>
  /** Resolves a name to the full name and the file. @throws MqError MODEL_NOT_FOUND; Refusal. */
  find(name: string | undefined): Promise<{ readonly name: string; readonly path: string }>
  load(path: string, signal: AbortSignal): Promise<LlamaModel>
  /** Memory of a loaded model besides its weights, in bytes. */
  extraBytes(path: string): Promise<number>
}

/** A model in use; release it after the request. */
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
  /** Memory limit of all loaded models, in bytes. */
  readonly memoryBytes: number
  /** Maximum requests of a model, running and waiting. */
  readonly maxUsers: number
  readonly log?: ((line: string) => void) | undefined
}

/**
 * Keeps models loaded up to a memory limit: idle models are unloaded for another one, the least recently used first. A model that alone
 * exceeds the limit is loaded if no other is.
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

  /** Running and waiting requests of all models, and loaded models. */
  get load(): { readonly requests: number; readonly models: number } {
    const entries = [...this.#entries.values()]
    const requests = entries.reduce((sum, { users }) => sum + users, 0)
    return { requests, models: entries.filter(({ model }) => model !== undefined).length }
  }

  /** Loads a model if needed, and reserves it. @param requests completions that will run. @throws MqError MODEL_NOT_FOUND, and errors of loading; Refusal 429 if too many requests wait, 503 if memory is in use. */
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

  /** Loads one model at a time, so that two do not count on the same memory. */
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

  /** Removes a model that failed to load; the next request loads it again. */
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
