import { rename, rm } from 'node:fs/promises'
import { resolve } from 'node:path'
import { MqError } from '../errors/index.js'
import type { WithProgress } from '../progress/index.js'
import { type ExternalOptions, findProgram } from './external.js'
import { parseTooShort } from './external-output.js'
import { allowsExtraBuffers } from './extra-buffers.js'
import { LogTail } from './log-tail.js'

export interface ExternalImatrixOptions extends ExternalOptions {
  readonly contextLength?: number
  readonly chunks?: number
  readonly threads?: number
  /** Looks at the inputs of output.weight, too. */
  readonly output?: boolean
}

/**
 * Has the user's llama-imatrix write an importance matrix in the GGUF form.
 * @throws MqError LLAMA_MISSING, MODEL_REJECTED, LLAMA_CRASHED, TEXT_TOO_SHORT, INTERRUPTED.
 */
export async function* externalImatrix(
  model: string,
  textFile: string,
  path: string,
  { directory, signal, contextLength = 512, chunks, threads, output = false }: ExternalImatrixOptions = {},
): WithProgress<void> {
  const program = await findProgram('llama-imatrix', directory)
  // it writes the old form where the name has another ending
  const partial = `${resolve(path)}.partial.gguf`
  const files = ['--model', resolve(model), '--file', resolve(textFile), '--output-file', partial]
  const optional = [
    ...(chunks === undefined ? [] : ['--chunks', `${chunks}`]),
    ...(threads === undefined ? [] : ['--threads', `${threads}`]),
    ...(output ? ['--process-output'] : []),
    ...((await allowsExtraBuffers(model)) ? [] : ['--no-repack']),
  ]
  const { execa } = await import('execa')
  const running = execa(program, [...files, '--ctx-size', `${contextLength}`, '--no-ppl', ...optional], {
    all: true,
    stdin: 'ignore',
    reject: false,
    buffer: false,
    forceKillAfterDelay: 2000,
    cancelSignal: signal,
  })
  const log = new LogTail()
  try {
    yield { stage: 'collect', done: 0, total: 1, unit: 'files' }
    for await (const text of running.all.setEncoding('utf8') as AsyncIterable<string>) log.push(text)
    const { exitCode } = await running
    if (signal?.aborted === true) throw MqError.of('INTERRUPTED', { what: `the importance matrix of ${model}` })
    if (exitCode !== 0) throw failure(model, textFile, log, exitCode)
    await rename(partial, path).catch(() => {
      throw failure(model, textFile, log, exitCode)
    })
    yield { stage: 'collect', done: 1, total: 1, unit: 'files' }
  } finally {
    running.kill('SIGKILL')
    await rm(partial, { force: true })
  }
}

function failure(model: string, textFile: string, log: LogTail, exitCode: number | undefined): MqError {
  const short = parseTooShort(log.lines)
  if (short !== undefined) return MqError.of('TEXT_TOO_SHORT', { file: textFile, ...short })
  const problem = log.problem() ?? `it ended with status ${exitCode ?? 'unknown'} and without a result`
  if (log.lines.some((line) => line.includes('unable to load model') || line.includes('failed to load model'))) {
    return MqError.of('MODEL_REJECTED', { file: model, problem })
  }
  return MqError.of('LLAMA_CRASHED', { doing: `collected the importance matrix of ${model}`, problem })
}
