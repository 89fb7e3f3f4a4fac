import { MqError, type ToolErrorCode } from '../../errors/index.js'
import type { Command, Failure, OperationName, Operations, Reply, RunCommand } from '../protocol.js'
import { loadLibraries } from './binding.js'
import { renderChat } from './chat.js'
import { compareLogits } from './compare-logits.js'
import { devices } from './devices.js'
import { Embedder } from './embed.js'
import { imatrix } from './imatrix.js'
import { type LoadedModel, load, tokenize } from './model.js'
import { perplexity } from './perplexity.js'
import { LlamaRefusal } from './refusal.js'
import { saveLogits } from './save-logits.js'
import { Scheduler } from './scheduler.js'
import { speed } from './speed.js'

// The process that holds llama.cpp: what goes wrong in there ends this one and not the tool.

/** Each sends events by `emit`, which throws Cancelled where nobody waits for more; `signal` says so earlier. */
type Serve = {
  [Name in OperationName]: (
    request: Operations[Name]['request'],
    emit: (event: Operations[Name]['event']) => void,
    signal: AbortSignal,
  ) => Promise<Operations[Name]['result']>
}

class Cancelled extends Error {}

/** Those that need not wait for each other. */
const sideBySide: ReadonlySet<OperationName> = new Set(['tokenize', 'renderChat', 'complete', 'embed', 'rerank'])

const underWay = new Map<number, AbortController>()
let model: (LoadedModel & { readonly scheduler: Scheduler; readonly embedder: Embedder }) | undefined
let queue = Promise.resolve()

const serve: Serve = {
  async devices({ libraries }) {
    const llama = loadLibraries(libraries)
    return { version: llama.version(), devices: devices(llama), systemInfo: llama.systemInfo() }
  },
  async load(request) {
    const opened = await load(request)
    model = { ...opened, scheduler: new Scheduler(opened), embedder: new Embedder(opened) }
    return model.info
  },
  tokenize: async (request) => tokenize(loaded(), request),
  renderChat: async ({ messages }) => renderChat(loaded(), messages),
  perplexity: async (request, emit) => await drain(perplexity(loaded(), request), emit),
  saveLogits: async (request, emit) => await drain(saveLogits(loaded(), request), emit),
  compareLogits: async (request, emit) => await drain(compareLogits(loaded(), request), emit),
  imatrix: async (request, emit) => await drain(imatrix(loaded(), request), emit),
  complete: async (request, emit, signal) => await loaded().scheduler.complete(request, emit, signal),
  embed: async (request) => await loaded().embedder.embed(request),
  rerank: async (request) => await loaded().embedder.rerank(request),
  speed: async (request, emit) => await drain(speed(loaded(), request), emit),
}

function loaded(): NonNullable<typeof model> {
  if (model === undefined) throw new Error('no model is loaded')
  return model
}

async function drain<Event, Result>(events: AsyncGenerator<Event, Result, void>, emit: (event: Event) => void): Promise<Result> {
  try {
    for (;;) {
      const step = await events.next()
      if (step.done === true) return step.value
      emit(step.value)
    }
  } finally {
    await events.return(undefined as never)
  }
}

async function run({ id, operation, request }: RunCommand): Promise<void> {
  const abort = underWay.get(id) ?? new AbortController()
  const emit = (event: Operations[OperationName]['event']): void => {
    abort.signal.throwIfAborted()
    send({ id, kind: 'event', event })
  }
  try {
    send({ id, kind: 'result', result: await serve[operation](request as never, emit, abort.signal) })
  } catch (error) {
    send(error instanceof Cancelled ? { id, kind: 'cancelled' } : { id, kind: 'failure', failure: failureOf(error) })
  } finally {
    underWay.delete(id)
  }
}

function failureOf(error: unknown): Failure {
  if (error instanceof LlamaRefusal) return { kind: 'llama' }
  const { code, details } = MqError.from(error)
  return { kind: 'coded', code: code as ToolErrorCode, details }
}

function send(reply: Reply): void {
  process.send?.(reply)
}

process.on('message', (command: Command) => {
  if (command.operation === 'cancel') {
    underWay.get(command.id)?.abort(new Cancelled())
    return
  }
  underWay.set(command.id, new AbortController())
  if (sideBySide.has(command.operation)) void run(command)
  else queue = queue.then(() => run(command))
})

// A decode may be under way on another thread, and exit() would wait for it or tear its memory away.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))

// Ctrl-C reaches the whole group of processes; the parent decides what it means.
process.on('SIGINT', () => {})
