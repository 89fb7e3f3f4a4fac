import { parentPort } from 'node:worker_threads'
import { inProcess } from '../build/index.js'
import { failureOf } from '../engine/index.js'
import { MqError } from '../errors/index.js'
import { finish } from '../progress/index.js'
import { modelKeeper } from '../runner/index.js'
import type { FromThread, ToThread } from './run-in-thread.js'

// The thread that a worker runs its units in, so that its main thread can renew leases while a unit computes.

let running = new AbortController()
// llama.cpp ends when this thread does, as where it is terminated.
const models = modelKeeper()
const say = (message: FromThread): void => parentPort?.postMessage(message)

parentPort?.on('message', (message: ToThread) => {
  if (message.what === 'abort') running.abort()
  else void run(message)
})

async function run({ task, means }: Extract<ToThread, { what: 'run' }>): Promise<void> {
  running = new AbortController()
  try {
    const work = inProcess({ ...means, models, signal: running.signal }).run(task)
    const result = await finish(work, (progress) => say({ what: 'progress', progress }))
    say({ what: 'done', result })
  } catch (error) {
    // Node's own errors are converted here, where their code is still known.
    const known = error instanceof Error && 'code' in error ? MqError.from(error, task.folder) : error
    say({ what: 'failed', failure: failureOf(known) })
  }
}
