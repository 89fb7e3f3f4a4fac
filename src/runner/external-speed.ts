import { findProgram } from './external.js'
import { endLlamaProgram, flagOf, runLlamaProgram } from './llama-program.js'
import type { LoadOptions } from './options.js'
import type { ModelInfo, SpeedRequest, SpeedSample } from './protocol.js'

/** A model whose tokens per second can be measured: of the embedded llama.cpp, or of a llama-bench. */
export interface TimedModel extends AsyncDisposable {
  readonly path: string
  readonly info: Pick<ModelInfo, 'description' | 'parameters' | 'sizeBytes' | 'llamaVersion' | 'gpus'>
  /** Measures the seconds of each repetition. @throws MqError LLAMA_CRASHED, INTERRUPTED. */
  speed(request: SpeedRequest): AsyncGenerator<SpeedSample, undefined, void>
}

/** A line of `llama-bench -o jsonl`. */
interface Measured {
  readonly build_commit: string
  readonly build_number: number
  readonly gpu_info: string
  readonly model_type: string
  readonly model_size: number
  readonly model_n_params: number
  readonly samples_ns: readonly number[]
}

/**
 * Measures with the user's llama-bench, a process for each run, which loads the model and runs it once uncounted.
 * @param directory folder of llama.cpp's programs.
 * @param options placement and threads.
 * @throws MqError LLAMA_MISSING, MODEL_REJECTED, LLAMA_CRASHED, INTERRUPTED.
 */
export async function timeWithBench(path: string, directory: string, options: LoadOptions = {}): Promise<TimedModel> {
  const program = await findProgram('llama-bench', directory)
  const run = (prompt: number, generated: number): Promise<Measured> => measure(program, path, [prompt, generated], options)
  const first = await run(1, 0)
  return {
    path,
    info: {
      description: first.model_type,
      parameters: first.model_n_params,
      sizeBytes: first.model_size,
      llamaVersion: `${first.build_commit} ${first.build_number}`,
      gpus: first.gpu_info === '' ? [] : [first.gpu_info],
    },
    async *speed({ promptTokens, generatedTokens, repetitions }) {
      for (let repetition = 0; repetition < repetitions; repetition += 1) {
        const { samples_ns: samples } = await run(promptTokens, generatedTokens)
        yield { seconds: (samples[0] as number) / 1e9 }
      }
      return undefined
    },
    async [Symbol.asyncDispose]() {},
  }
}

/** Runs llama-bench once. @param tokens of a prompt, and generated ones. */
async function measure(
  program: string,
  path: string,
  [prompt, generated]: readonly [number, number],
  { threads, gpuLayers, cpuExpertLayers, flashAttention, keyType, valueType, mmap, signal }: LoadOptions,
): Promise<Measured> {
  const tests =
    prompt > 0 && generated > 0
      ? ['-p', '0', '-n', '0', '-pg', `${prompt},${generated}`]
      : ['-p', `${prompt}`, '-n', `${generated}`]
  const args = [
    '-m',
    path,
    ...tests,
    '-r',
    '1',
    '-o',
    'jsonl',
    ...flagOf('-t', threads),
    ...flagOf('-ngl', gpuLayers === -1 ? 999 : gpuLayers),
    ...flagOf('-ncmoe', cpuExpertLayers),
    ...flagOf('-fa', flashAttention),
    ...flagOf('-ctk', keyType),
    ...flagOf('-ctv', valueType),
    ...(mmap === false ? ['-lm', 'none'] : []),
  ]
  const what = `the speed of ${path}`
  const running = runLlamaProgram(program, args, { model: path, textFile: '', did: `measured ${what}`, what }, signal)
  let text = ''
  try {
    for (;;) {
      const next = await running.next()
      if (next.done !== true) {
        text += next.value.text
        continue
      }
      const line = text.split('\n').findLast((one) => one.startsWith('{"build_commit"'))
      if (next.value.exitCode === 0 && line !== undefined) return JSON.parse(line) as Measured
      throw next.value.failure()
    }
  } finally {
    await endLlamaProgram(running)
  }
}
