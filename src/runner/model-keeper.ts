import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { loadModel } from './load-model.js'
import type { LlamaModel } from './model.js'
import type { LoadOptions } from './options.js'

/** Loads a model, as loadModel does; the caller closes it. */
export type LoadModel = (path: string, options?: LoadOptions) => Promise<LlamaModel>

/** Keeps the last model loaded for the next caller: one at most. Disposing of it ends llama.cpp. */
export interface ModelKeeper extends AsyncDisposable {
  /**
   * As loadModel, but closing the model leaves it loaded. A model of another file, of a file that changed, or with other options takes its
   * place. An abort of `signal` ends llama.cpp for as long as the model is not closed.
   * @throws MqError as loadModel.
   */
  readonly load: LoadModel
  /** Frees the model, unless it is in use. */
  release(): Promise<void>
}

interface Kept {
  readonly key: string
  readonly model: LlamaModel
  /** Kills llama.cpp; calls that run fail with INTERRUPTED. */
  readonly abort: AbortController
}

/** Time after which a model that is not used is freed, in milliseconds. */
const defaultIdleMs = 60_000

/** Keeps one model loaded between users that come one after another; who comes while it is in use gets a model of their own. */
export function modelKeeper({ idleMs = defaultIdleMs }: { readonly idleMs?: number } = {}): ModelKeeper {
  let kept: Kept | undefined
  let isInUse = false
  let idle: NodeJS.Timeout | undefined
  const free = async (): Promise<void> => {
    clearTimeout(idle)
    const last = kept
    kept = undefined
    await last?.model.close()
  }
  const open = async (path: string, key: string, signal: AbortSignal | undefined, options: LoadOptions): Promise<Kept> => {
    const abort = new AbortController()
    const forget = passOn(signal, abort)
    try {
      return { key, model: await loadModel(path, { ...options, signal: abort.signal }), abort }
    } finally {
      forget()
    }
  }
  return {
    async load(path, { signal, ...options } = {}) {
      if (isInUse) return loadModel(path, { ...options, ...(signal && { signal }) })
      isInUse = true
      try {
        clearTimeout(idle)
        const key = JSON.stringify([resolve(path), await stampOf(path), options])
        if (kept?.key !== key || kept.model.isClosed) await free()
        kept ??= await open(path, key, signal, options)
      } catch (error) {
        isInUse = false
        throw error
      }
      const forget = passOn(signal, kept.abort)
      return kept.model.lend(() => {
        forget()
        isInUse = false
        idle = setTimeout(() => void free(), idleMs).unref()
      })
    },
    async release() {
      if (!isInUse) await free()
    },
    [Symbol.asyncDispose]: free,
  }
}

/** Passes an abort on. @returns what ends that. */
function passOn(signal: AbortSignal | undefined, abort: AbortController): () => void {
  const pass = (): void => abort.abort()
  signal?.addEventListener('abort', pass, { once: true })
  if (signal?.aborted === true) pass()
  return () => signal?.removeEventListener('abort', pass)
}

/** undefined where the file cannot be looked at: loading it says why. */
async function stampOf(path: string): Promise<string | undefined> {
  const found = await stat(path, { bigint: true }).catch(() => undefined)
  return found && `${found.dev} ${found.ino} ${found.size} ${found.mtimeNs}`
}
