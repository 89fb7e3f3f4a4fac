import { type ChildProcess, fork } from 'node:child_process'
import { createRequire } from 'node:module'
import { type Channel, newChannel } from '../collections/index.js'
import { MqError } from '../errors/index.js'
import { LogTail } from './log-tail.js'
import type { Command, Failure, OperationName, Operations, Reply, RunCommandOf } from './protocol.js'

/** How the child ended. */
interface End {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** Description of the operation for error messages: `measured` `the perplexity of x.gguf`. */
export interface Work {
  readonly did: string
  readonly what: string
  /** Cancels this call alone. */
  readonly signal?: AbortSignal | undefined
}

/** Typed calls to the process that runs llama.cpp. */
export interface Connection {
  /**
   * Runs an operation in the child: yields its events, returns its result. Leaving early cancels it.
   * @throws MqError as the child says; LLAMA_CRASHED where it ends; INTERRUPTED after an abort.
   */
  call<Name extends OperationName>(
    operation: Name,
    request: Operations[Name]['request'],
    work: Work,
  ): AsyncGenerator<Operations[Name]['event'], Operations[Name]['result'], void>
  /** Ends the child, so that its log is complete, and returns llama.cpp's last error message. */
  lastWords(): Promise<string | undefined>
  /** Whether the child has ended. */
  readonly isClosed: boolean
  /** Ends the child; running calls fail. */
  close(): Promise<void>
}

/** Error of a llama.cpp call; the connection is closed and its log holds the reason. */
export class Refused extends Error {
  override readonly name = 'Refused'
}

/** Starts the child. An abort of `signal` kills it at once. */
export function connect(signal?: AbortSignal): Connection {
  const child = startChild()
  const log = new LogTail()
  const calls = new Map<number, Channel<Reply | undefined>>()
  let nextId = 1
  let end: End | undefined

  child.stderr?.setEncoding('utf8').on('data', (text: string) => log.push(text))
  child.on('message', (reply: Reply) => calls.get(reply.id)?.put(reply))
  const kill = (): void => void child.kill('SIGKILL')
  const ended = new Promise<void>((resolve) => {
    const finish = (how: End): void => {
      end = how
      signal?.removeEventListener('abort', kill)
      for (const replies of calls.values()) replies.put(undefined)
      resolve()
    }
    // 'close' comes after the last line of the log, as 'exit' may not; 'error' without a process id is a child that never was
    child.once('close', (code: number | null, childSignal: NodeJS.Signals | null) => finish({ code, signal: childSignal }))
    child.on('error', (error) => {
      log.push(`error: ${error.message}\n`)
      if (child.pid === undefined) finish({ code: null, signal: null })
    })
  })
  signal?.addEventListener('abort', kill, { once: true })
  if (signal?.aborted === true) kill()

  const send = (command: Command): void => {
    // a child that has just ended cannot be told anything; `ended` says so
    if (child.connected) child.send(command, () => {})
  }
  const endError = ({ did, what }: Work): MqError => {
    if (signal?.aborted === true) return MqError.of('INTERRUPTED', { what })
    return MqError.of('LLAMA_CRASHED', { doing: `${did} ${what}`, problem: log.problem() ?? describeEnd(end) })
  }

  const close = async (): Promise<void> => {
    kill()
    await ended
  }

  return {
    async *call(operation, request, work) {
      const id = nextId
      nextId += 1
      const { signal: own } = work
      const isCancelled = (): boolean => own?.aborted === true
      if (isCancelled()) throw MqError.of('INTERRUPTED', { what: work.what })
      const replies = newChannel<Reply | undefined>()
      calls.set(id, replies)
      if (end !== undefined) replies.put(undefined)
      let over = false
      const cancel = (): void => send({ id, operation: 'cancel' })
      try {
        own?.addEventListener('abort', cancel, { once: true })
        send({ id, operation, request } as RunCommandOf<typeof operation> as Command)
        for (;;) {
          const reply = await replies.take()
          over = reply?.kind !== 'event'
          if (reply === undefined) throw endError(work)
          if (reply.kind === 'event') yield reply.event
          else if (reply.kind === 'result') return reply.result
          else if (reply.kind === 'failure') throw errorOf(reply.failure)
          else throw MqError.of('INTERRUPTED', { what: work.what })
        }
      } finally {
        own?.removeEventListener('abort', cancel)
        if (!over && !isCancelled()) cancel()
        if (!over) {
          while ((await replies.take())?.kind === 'event');
        }
        calls.delete(id)
      }
    },
    async lastWords() {
      await close()
      return log.problem()
    },
    get isClosed() {
      return end !== undefined || child.killed
    },
    close,
  }
}

function startChild(): ChildProcess {
  return fork(createRequire(import.meta.url).resolve('#llama-child'), [], {
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    execArgv: [],
    // ggml would start a debugger on itself; native calls run on the pool's threads
    env: { ...process.env, GGML_NO_BACKTRACE: '1', UV_THREADPOOL_SIZE: '16' },
  })
}

function errorOf(failure: Failure): Error {
  return failure.kind === 'llama' ? new Refused() : MqError.of(failure.code, failure.details)
}

function describeEnd(end: End | undefined): string {
  if (end?.signal === 'SIGKILL') return 'the process was killed, possibly because the machine ran out of memory'
  if (end?.signal !== null && end?.signal !== undefined) return `the process ended with ${end.signal}`
  return `the process ended with status ${end?.code ?? 'unknown'}`
}

/** Returns the result of an operation, and ignores its events. */
export async function lastOf<Result>(events: AsyncGenerator<unknown, Result, void>): Promise<Result> {
  for (;;) {
    const step = await events.next()
    if (step.done === true) return step.value
  }
}
