import { MqError, type ToolErrorCode } from '../../errors/index.js'
import type { Command, Failure, OperationName, Operations, Reply, RunCommand } from '../protocol.js'
import { renderChat } from './chat.js'
import { compareLogits } from './compare-logits.js'
import { generate } from './generate.js'
import { imatrix } from './imatrix.js'
import { type LoadedModel, load, tokenize } from './model.js'
import { perplexity } from './perplexity.js'
import { LlamaRefusal } from './refusal.js'
import { saveLogits } from './save-logits.js'

// The process that holds llama.cpp: what goes wrong in there ends this one and not the tool.

/** Each sends events by `emit`, which throws Cancelled where nobody waits for more. */
type Serve = {
  [Name in OperationName]: (
    request: Operations[Name]['request'],
    emit: (event: Operations[Name]['event']) => void,
  ) => Promise<Operations[Name]['result']>
}

class Cancelled extends Error {}

const cancelled = new Set<number>()
let model: LoadedModel | undefined
let queue = Promise.resolve()

const serve: Serve = {
  async load(request) {
    model = await load(request)
    return model.info
  },
  tokenize: async (request) => tokenize(loaded(), request),
  renderChat: async ({ messages }) => renderChat(loaded(), messages),
  perplexity: async (request, emit) => await drain(perplexity(loaded(), request), emit),
  saveLogits: async (request, emit) => await drain(saveLogits(loaded(), request), emit),
  compareLogits: async (request, emit) => await drain(compareLogits(loaded(), request), emit),
  imatrix: async (request, emit) => await drain(imatrix(loaded(), request), emit),
  generate: async (request, emit) => await drain(generate(loaded(), request), emit),
}

function loaded(): LoadedModel {
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
  const emit = (event: Operations[OperationName]['event']): void => {
    if (cancelled.has(id)) throw new Cancelled()
    send({ id, kind: 'event', event })
  }
  try {
    send({ id, kind: 'result', result: await serve[operation](request as never, emit) })
  } catch (error) {
    send(error instanceof Cancelled ? { id, kind: 'cancelled' } : { id, kind: 'failure', failure: failureOf(error) })
  } finally {
    cancelled.delete(id)
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
  if (command.operation === 'cancel') cancelled.add(command.id)
  else queue = queue.then(() => run(command))
})

// A decode may be under way on another thread, and exit() would wait for it or tear its memory away.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))

// Ctrl-C reaches the whole group of processes; the parent decides what it means.
process.on('SIGINT', () => {})
