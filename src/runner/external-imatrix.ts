import { rename, rm } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { WithProgress } from '../progress/index.js'
import { type ExternalOptions, findProgram } from './external.js'
import { readFileTraits } from './file-traits.js'
import { endLlamaProgram, flagOf, runLlamaProgram } from './llama-program.js'

/** Options of llama-imatrix. */
export interface ExternalImatrixOptions extends ExternalOptions {
  readonly contextLength?: number
  readonly chunks?: number
  readonly threads?: number
  /** Collects statistics for output.weight as well. */
  readonly output?: boolean
}

/**
 * Runs the user's llama-imatrix to write an importance matrix in the GGUF form.
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
    ...flagOf('--chunks', chunks),
    ...flagOf('--threads', threads),
    ...(output ? ['--process-output'] : []),
    ...((await readFileTraits(model)).extraBuffers ? [] : ['--no-repack']),
  ]
  const args = [...files, '--ctx-size', `${contextLength}`, '--no-ppl', ...optional]
  const what = `the importance matrix of ${model}`
  const running = runLlamaProgram(program, args, { model, textFile, did: `collected ${what}`, what }, signal)
  try {
    yield { stage: 'collect', done: 0, total: 1, unit: 'files' }
    let next = await running.next()
    while (next.done !== true) next = await running.next()
    const { exitCode, failure } = next.value
    if (exitCode !== 0) throw failure()
    await rename(partial, path).catch(() => {
      throw failure()
    })
    yield { stage: 'collect', done: 1, total: 1, unit: 'files' }
  } finally {
    await endLlamaProgram(running)
    await rm(partial, { force: true })
  }
}
