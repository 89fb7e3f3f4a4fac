import { MqError } from '../errors/index.js'
import { parseTooShort } from './external-output.js'
import { LogTail } from './log-tail.js'

/** A flag with its value; nothing where there is none. */
export function flagOf(flag: string, value: string | number | undefined): string[] {
  return value === undefined ? [] : [flag, String(value)]
}

/** What a llama.cpp program is run on, for messages. */
export interface ProgramWork {
  readonly model: string
  readonly textFile: string
  /** What it does, as in `it measured the perplexity of m.gguf`. */
  readonly did: string
  /** What it makes, as in `the perplexity of m.gguf`. */
  readonly what: string
}

/** How a program ended. */
export interface ProgramEnd {
  readonly exitCode: number | undefined
  /** The error of the table that its output stands for. */
  readonly failure: () => MqError
}

/**
 * Runs a program of llama.cpp that the user has, and yields its log as it grows. It is killed where the consumer stops listening.
 * @throws MqError INTERRUPTED.
 */
export async function* runLlamaProgram(
  program: string,
  args: readonly string[],
  work: ProgramWork,
  signal?: AbortSignal,
): AsyncGenerator<{ readonly text: string; readonly log: LogTail }, ProgramEnd, void> {
  const { execa } = await import('execa')
  const running = execa(program, args, {
    all: true,
    stdin: 'ignore',
    reject: false,
    buffer: false,
    forceKillAfterDelay: 2000,
    cancelSignal: signal,
  })
  const log = new LogTail()
  try {
    for await (const text of running.all.setEncoding('utf8') as AsyncIterable<string>) {
      log.push(text)
      yield { text, log }
    }
    const { exitCode } = await running
    if (signal?.aborted === true) throw MqError.of('INTERRUPTED', { what: work.what })
    return { exitCode, failure: () => failure(work, log, exitCode) }
  } finally {
    running.kill('SIGKILL')
  }
}

/** Kills a program whose log is no longer read, unless it has ended. */
export async function endLlamaProgram(running: ReturnType<typeof runLlamaProgram>): Promise<void> {
  await running.return(undefined as never)
}

function failure({ model, textFile, did }: ProgramWork, log: LogTail, exitCode: number | undefined): MqError {
  const short = parseTooShort(log.lines)
  if (short !== undefined) return MqError.of('TEXT_TOO_SHORT', { file: textFile, ...short })
  const problem = log.problem() ?? `it ended with status ${exitCode ?? 'unknown'} and without a result`
  if (log.lines.some((line) => line.includes('unable to load model') || line.includes('failed to load model'))) {
    return MqError.of('MODEL_REJECTED', { file: model, problem })
  }
  return MqError.of('LLAMA_CRASHED', { doing: did, problem })
}
