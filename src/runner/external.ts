import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { delimiter, join, resolve } from 'node:path'
import { MqError } from '../errors/index.js'
import type { WithProgress } from '../progress/index.js'
import { parseEstimate, parseSetup } from './external-output.js'
import { endLlamaProgram, flagOf, runLlamaProgram } from './llama-program.js'
import type { Perplexity } from './perplexity.js'

/** Programs of llama.cpp that can be run. */
export type LlamaProgram = 'llama-perplexity' | 'llama-server' | 'llama-quantize' | 'llama-imatrix' | 'llama-cli' | 'llama-bench'

/** Which llama.cpp programs are run. */
export interface ExternalOptions {
  /** Folder of the programs; by default those on $PATH. */
  readonly directory?: string
  readonly signal?: AbortSignal
}

/** Options of llama-perplexity. */
export interface ExternalPerplexityOptions extends ExternalOptions {
  readonly contextLength?: number
  readonly chunks?: number
  readonly threads?: number
}

/** What llama-perplexity prints, four decimals of it; the standard error is missing where the program ended before it was printed. */
export type ExternalPerplexity = Pick<Perplexity, 'perplexity' | 'chunks' | 'contextLength'> & { readonly standardError?: number }

/** Finds a program of the user's llama.cpp. @returns its path. @throws MqError LLAMA_MISSING */
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
 * Measures the perplexity of a text file with the user's llama-perplexity.
 * @throws MqError LLAMA_MISSING, MODEL_REJECTED, LLAMA_CRASHED, TEXT_TOO_SHORT, INTERRUPTED.
 */
export async function* externalPerplexity(
  model: string,
  textFile: string,
  { directory, signal, contextLength = 512, chunks, threads }: ExternalPerplexityOptions = {},
): WithProgress<ExternalPerplexity> {
  const program = await findProgram('llama-perplexity', directory)
  const optional = [...flagOf('--chunks', chunks), ...flagOf('--threads', threads)]
  const args = ['--model', model, '--file', textFile, '--ctx-size', `${contextLength}`, ...optional]
  const what = `the perplexity of ${model}`
  const running = runLlamaProgram(program, args, { model, textFile, did: `measured ${what}`, what }, signal)
  let total = 0
  let lines: readonly string[] = []
  try {
    for (;;) {
      const next = await running.next()
      if (next.done === true) {
        const estimate = parseEstimate(lines)
        if (next.value.exitCode === 0 && estimate !== undefined) return { ...estimate, chunks: total, contextLength }
        throw next.value.failure()
      }
      const { text, log } = next.value
      lines = log.lines
      total ||= parseSetup(lines)?.chunks ?? 0
      // each chunk is written as `[7]12.3456,`
      const done = Number(text.match(/\[(\d+)\][^[]*$/)?.[1] ?? 0)
      if (total > 0 && done > 0 && done <= total) yield { stage: 'perplexity', done, total, unit: 'chunks' }
    }
  } finally {
    await endLlamaProgram(running)
  }
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
