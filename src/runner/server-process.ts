import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type IncomingMessage, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { MqError } from '../errors/index.js'
import { LogTail } from './log-tail.js'

/**
 * Starts the program with its arguments, and kills it when stdin ends: however this process ends, it leaves no llama-server behind. In a
 * process group of its own, so that Ctrl-C in a terminal stops an answer and not the server. stderr ends with the server.
 */
const guarded = '"$0" "$@" </dev/null & server=$!; exec >/dev/null 2>&1; cat; kill -9 $server'

/** Milliseconds between two questions whether the model is loaded. */
const askEvery = 50

/** Body of an answer with a status other than 200, as llama-server writes it. */
interface Failure {
  readonly error?: {
    readonly type?: string
    readonly message?: string
    readonly n_prompt_tokens?: number
    readonly n_ctx?: number
  }
}

/** A llama-server of the user that listens on a socket in a folder that only this user can enter. */
export class ServerProcess {
  readonly #file: string
  readonly #folder: string
  readonly #process: ChildProcess
  readonly #log = new LogTail()
  #isOver = false

  private constructor(file: string, folder: string, child: ChildProcess) {
    this.#file = file
    this.#folder = folder
    this.#process = child
    child.stderr?.setEncoding('utf8').on('data', (text: string) => this.#log.push(text))
    child.stderr?.once('close', () => {
      this.#isOver = true
    })
    child.once('error', (error) => {
      this.#log.push(`${error.message}\n`)
      this.#isOver = true
    })
    // whoever reads no longer is no reason to end
    child.stdin?.on('error', () => undefined)
  }

  /**
   * Starts a llama-server and waits until its model is loaded.
   * @param file the model, for messages.
   * @throws MqError MODEL_REJECTED where it ends before; INTERRUPTED.
   */
  static async start(
    program: string,
    file: string,
    { args, env }: { readonly args: readonly string[]; readonly env: Readonly<Record<string, string>> },
    signal?: AbortSignal,
  ): Promise<ServerProcess> {
    const folder = await mkdtemp(join(tmpdir(), 'mq-server-'))
    const { LLAMA_API_KEY: _, ...own } = process.env
    const child = spawn('sh', ['-c', guarded, program, '--host', join(folder, 'llama.sock'), ...args], {
      stdio: ['pipe', 'ignore', 'pipe'],
      env: { ...own, ...env },
      detached: true,
    })
    const server = new ServerProcess(file, folder, child)
    try {
      await server.#untilLoaded(signal)
      return server
    } catch (error) {
      await server.close()
      throw error
    }
  }

  /**
   * Sends a request and yields the events of its streamed answer.
   * @throws MqError PROMPT_TOO_LONG, OPTION_INVALID, LLAMA_CRASHED; INTERRUPTED where `signal` is aborted.
   */
  async *stream(path: string, body: unknown, signal?: AbortSignal): AsyncGenerator<Record<string, unknown>, void, void> {
    let answer: IncomingMessage | undefined
    try {
      answer = await this.#send(path, JSON.stringify(body), signal)
      if (answer.statusCode !== 200) throw refusal(await textOf(answer))
      let open = ''
      for await (const text of answer.setEncoding('utf8') as AsyncIterable<string>) {
        const lines = (open + text).split('\n')
        open = lines.pop() ?? ''
        for (const line of lines) {
          if (line.startsWith('error: ')) throw refusal(`{"error":${line.slice(7)}}`)
          if (line.startsWith('data: {')) yield JSON.parse(line.slice(6)) as Record<string, unknown>
        }
      }
    } catch (error) {
      if (error instanceof MqError) throw error
      if (signal?.aborted === true) throw MqError.of('INTERRUPTED', { what: `text generation with ${this.#file}` })
      throw MqError.of('LLAMA_CRASHED', {
        doing: `ran text generation with ${this.#file}`,
        problem: this.#log.problem() ?? (error as Error).message,
      })
    } finally {
      // Ends the completion, too, where it still runs.
      answer?.destroy()
    }
  }

  /** Ends llama-server and frees its memory. */
  async close(): Promise<void> {
    const isRunning = this.#process.exitCode === null && this.#process.signalCode === null && this.#process.pid !== undefined
    const ended = isRunning ? once(this.#process, 'close') : undefined
    this.#process.stdin?.end()
    await ended?.catch(() => undefined)
    await rm(this.#folder, { recursive: true, force: true })
  }

  async #untilLoaded(signal: AbortSignal | undefined): Promise<void> {
    for (;;) {
      if (signal?.aborted === true) throw MqError.of('INTERRUPTED', { what: `loading ${this.#file}` })
      if (this.#isOver) {
        throw MqError.of('MODEL_REJECTED', { file: this.#file, problem: this.#log.problem() ?? 'it does not say why' })
      }
      const status = await this.#send('/health', undefined, signal).then(
        (answer) => {
          answer.resume()
          return answer.statusCode
        },
        () => undefined,
      )
      if (status === 200) return
      await sleep(askEvery)
    }
  }

  async #send(path: string, body: string | undefined, signal: AbortSignal | undefined): Promise<IncomingMessage> {
    const asked = request({
      socketPath: join(this.#folder, 'llama.sock'),
      path,
      method: body === undefined ? 'GET' : 'POST',
      headers: { 'content-type': 'application/json' },
      signal,
      agent: false,
    })
    asked.end(body)
    const [answer] = (await once(asked, 'response')) as [IncomingMessage]
    return answer
  }
}

async function textOf(answer: IncomingMessage): Promise<string> {
  let text = ''
  for await (const part of answer.setEncoding('utf8') as AsyncIterable<string>) text += part
  return text
}

/** The error that an answer of llama-server stands for. */
function refusal(text: string): MqError {
  let failure: Failure['error']
  try {
    failure = (JSON.parse(text) as Failure).error
  } catch {}
  const { type, message = text.slice(0, 200), n_prompt_tokens: tokens, n_ctx: contextLength } = failure ?? {}
  if (type === 'exceed_context_size_error' && tokens !== undefined && contextLength !== undefined) {
    return MqError.of('PROMPT_TOO_LONG', { tokens, contextLength })
  }
  return MqError.of('LLAMA_CRASHED', { doing: 'answered a request', problem: `llama-server says: ${message}` })
}
