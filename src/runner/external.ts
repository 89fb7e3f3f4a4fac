import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { delimiter, join, resolve } from 'node:path'
import { MqError } from '../errors/index.js'
import type { WithProgress } from '../progress/index.js'
import { parseEstimate, parseSetup, parseTooShort } from './external-output.js'
import { LogTail } from './log-tail.js'
import type { Perplexity } from './perplexity.js'

/** Programs of llama.cpp that users have. */
export type LlamaProgram = 'llama-perplexity' | 'llama-server' | 'llama-quantize' | 'llama-imatrix' | 'llama-cli'

export interface ExternalOptions {
  /** Folder of the programs; by default those on $PATH. */
  readonly directory?: string
  readonly signal?: AbortSignal
}

export interface ExternalPerplexityOptions extends ExternalOptions {
  readonly contextLength?: number
  readonly chunks?: number
  readonly threads?: number
}

/** What llama-perplexity prints, four decimals of it; the standard error is missing where the program ended before it was printed. */
export type ExternalPerplexity = Pick<Perplexity, 'perplexity' | 'chunks' | 'contextLength'> & { readonly standardError?: number }

/** Path of a program of the user's llama.cpp. @throws MqError LLAMA_MISSING */
export async function findProgram(program: LlamaProgram, directory?: string): Promise<string> {
  const folders = directory === undefined ? (process.env['PATH'] ?? '').split(delimiter) : [directory]
  for (const folder of folders.filter((folder) => folder !== '')) {
    const path = resolve(join(folder, program))
    if (await isExecutable(path)) return path
  }
  const where = directory ?? 'the folders of $PATH'
  throw MqError.of('LLAMA_MISSING', { problem: `${program} is not in ${where}` })
}

/**
 * Perplexity of a text file by the user's llama-perplexity.
 * @throws MqError LLAMA_MISSING, MODEL_REJECTED, LLAMA_CRASHED, TEXT_TOO_SHORT, INTERRUPTED.
 */
export async function* externalPerplexity(
  model: string,
  textFile: string,
  { directory, signal, contextLength = 512, chunks, threads }: ExternalPerplexityOptions = {},
): WithProgress<ExternalPerplexity> {
  const program = await findProgram('llama-perplexity', directory)
  const optional = [
    ...(chunks === undefined ? [] : ['--chunks', `${chunks}`]),
    ...(threads === undefined ? [] : ['--threads', `${threads}`]),
  ]
  const { execa } = await import('execa')
  const running = execa(program, ['--model', model, '--file', textFile, '--ctx-size', `${contextLength}`, ...optional], {
    all: true,
    stdin: 'ignore',
    reject: false,
    buffer: false,
    forceKillAfterDelay: 2000,
    cancelSignal: signal,
  })
  const log = new LogTail()
  let total = 0
  try {
    for await (const text of running.all.setEncoding('utf8') as AsyncIterable<string>) {
      log.push(text)
      total ||= parseSetup(log.lines)?.chunks ?? 0
      // each chunk is written as `[7]12.3456,`
      const done = Number(text.match(/\[(\d+)\][^[]*$/)?.[1] ?? 0)
      if (total > 0 && done > 0 && done <= total) yield { stage: 'perplexity', done, total, unit: 'chunks' }
    }
    const { exitCode } = await running
    if (signal?.aborted === true) throw MqError.of('INTERRUPTED', { what: `the perplexity of ${model}` })
    const estimate = parseEstimate(log.lines)
    if (exitCode === 0 && estimate !== undefined) return { ...estimate, chunks: total, contextLength }
    throw failure(model, textFile, log, exitCode)
  } finally {
    running.kill('SIGKILL')
  }
}

function failure(model: string, textFile: string, log: LogTail, exitCode: number | undefined): MqError {
  const short = parseTooShort(log.lines)
  if (short !== undefined) return MqError.of('TEXT_TOO_SHORT', { file: textFile, ...short })
  const problem = log.problem() ?? `it ended with status ${exitCode ?? 'unknown'} and without a result`
  if (log.lines.some((line) => line.includes('unable to load model') || line.includes('failed to load model'))) {
    return MqError.of('MODEL_REJECTED', { file: model, problem })
  }
  return MqError.of('LLAMA_CRASHED', { doing: `measured the perplexity of ${model}`, problem })
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
