import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { MqError } from '../errors/index.js'
import { findProgram, type LoadOptions, serverPlacement } from '../runner/index.js'

/** Options of llama-server. */
export interface HandedOver {
  readonly path: string
  readonly name: string
  readonly host: string
  readonly port: number
  readonly keys: readonly string[]
  readonly slots: number
  /** Context length of each slot, in tokens. */
  readonly contextLength: number | undefined
  readonly load: LoadOptions
  /** Folder of llama.cpp's programs, by default $PATH. */
  readonly directory?: string | undefined
  readonly signal: AbortSignal
}

/**
 * Runs the user's llama-server with the same flags until it ends or `signal` is aborted; its output goes to this process's.
 * @throws MqError LLAMA_MISSING; LLAMA_CRASHED where it ends by itself with a status.
 */
export async function serveWithLlamaServer(options: HandedOver): Promise<void> {
  const program = await findProgram('llama-server', options.directory)
  const { LLAMA_API_KEY: _, ...env } = process.env
  // Keys are not passed as arguments, which other users can list.
  const keys = options.keys.length === 0 ? {} : { LLAMA_API_KEY: options.keys.join(',') }
  const placement = serverPlacement(options.load)
  const child = spawn(program, [...serverArguments(options), ...placement.args], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...env, ...placement.env, ...keys },
  })
  const stop = (): void => void child.kill('SIGTERM')
  options.signal.addEventListener('abort', stop, { once: true })
  if (options.signal.aborted) stop()
  const [status] = (await once(child, 'close').catch((error: Error) => {
    throw MqError.of('LLAMA_MISSING', { problem: error.message }, { cause: error })
  })) as [number | null]
  if (options.signal.aborted || status === 0) return
  throw MqError.of('LLAMA_CRASHED', {
    doing: `served ${options.path}`,
    problem: `llama-server ended with status ${status ?? 'unknown'}`,
  })
}

/** Returns the flags of llama-server but for the placement of the model. Its context length is the total over all slots. */
function serverArguments({ path, name, host, port, slots, contextLength }: HandedOver): string[] {
  const always = ['--model', path, '--alias', name, '--host', host, '--port', String(port), '--parallel', String(slots)]
  return [...always, ...(contextLength === undefined ? [] : ['--ctx-size', String(contextLength * slots)]), '--metrics']
}
