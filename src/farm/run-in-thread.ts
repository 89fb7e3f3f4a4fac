import { createRequire } from 'node:module'
import { Worker } from 'node:worker_threads'
import type { InProcessOptions, UnitResult, UnitTask } from '../build/index.js'
import { errorOf, type Failure } from '../engine/index.js'
import { MqError } from '../errors/index.js'
import type { Progress } from '../progress/index.js'

/** Time that an aborted unit has to end before its thread is terminated, in milliseconds. */
const endsWithinMs = 10_000

export type ToThread =
  | { readonly what: 'run'; readonly task: UnitTask; readonly means: Omit<InProcessOptions, 'models' | 'signal'> }
  | { readonly what: 'abort' }

export type FromThread =
  | { readonly what: 'progress'; readonly progress: Progress }
  | { readonly what: 'done'; readonly result: UnitResult }
  | { readonly what: 'failed'; readonly failure: Failure }

/** A thread that runs units, one at a time. */
export interface UnitThread extends AsyncDisposable {
  /** Runs a unit. @throws MqError, FormatError of the unit; INTERRUPTED. */
  run(task: UnitTask, onProgress: (progress: Progress) => void, signal: AbortSignal): Promise<UnitResult>
}

/** Creates a unit thread; it starts with its first unit. */
export function unitThread(means: Omit<InProcessOptions, 'models' | 'signal'>): UnitThread {
  let thread: Worker | undefined
  const end = async (): Promise<void> => {
    await thread?.terminate()
    thread = undefined
  }
  return {
    async run(task, onProgress, signal) {
      if (signal.aborted) throw MqError.of('INTERRUPTED', { what: 'the unit' })
      const own = (thread ??= new Worker(createRequire(import.meta.url).resolve('#farm-unit'), { execArgv: [] }))
      let resolve = (_: UnitResult): void => {}
      let reject = (_: unknown): void => {}
      const settled = new Promise<UnitResult>((yes, no) => {
        resolve = yes
        reject = no
      })
      const heard = (message: FromThread): void => {
        if (message.what === 'progress') onProgress(message.progress)
        else if (message.what === 'done') resolve(message.result)
        else reject(errorOf(message.failure))
      }
      const ended = (error: unknown): void => {
        thread = undefined
        reject(error instanceof Error ? error : MqError.of('INTERNAL', { problem: 'the thread of the unit ended' }))
      }
      let late: NodeJS.Timeout | undefined
      const abort = (): void => {
        own.postMessage({ what: 'abort' } satisfies ToThread)
        late = setTimeout(() => reject(MqError.of('INTERRUPTED', { what: 'the unit' })), endsWithinMs)
      }
      own.on('message', heard).once('error', ended).once('exit', ended)
      signal.addEventListener('abort', abort, { once: true })
      try {
        own.postMessage({ what: 'run', task, means } satisfies ToThread)
        return await settled
      } finally {
        clearTimeout(late)
        signal.removeEventListener('abort', abort)
        own.off('message', heard).off('error', ended).off('exit', ended)
        // The unit would continue.
        if (signal.aborted) await end()
      }
    },
    [Symbol.asyncDispose]: end,
  }
}
