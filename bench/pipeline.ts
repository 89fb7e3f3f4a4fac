import { mkdtemp, rm, rmdir, stat } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { convertScript, foreignCommand, mountPoint, whyNoForeign } from './foreign-programs.js'
import { runWatched, type Usage } from './process-tree.js'
import { writeSynthetic } from './synthetic-checkpoint.js'

export interface PipelineOptions {
  /** Of the bf16 checkpoint. */
  readonly bytes: number
  readonly preset: string
  readonly threads?: number
  /** --memory of `mq quantize`. */
  readonly memory?: string
  /** Zeros and a few real rows, which take no room on the disk; only our own part is run. */
  readonly sparse: boolean
}

/** The whole way from a checkpoint to a quantized GGUF, by mq and by llama.cpp, on the same files in the same run. */
export interface PipelineMeasurement {
  readonly preset: string
  readonly threads: number
  readonly sourceBytes: number
  readonly weights: number
  readonly sparse: boolean
  /** `mq quantize` from the checkpoint, with an importance matrix. */
  readonly mq: Usage
  /** The same from the bf16 GGUF that convert has made. */
  readonly mqFromGguf?: Usage
  /** convert_hf_to_gguf.py to bf16. */
  readonly convert?: Usage
  /** llama-quantize from that, with the same importance matrix. */
  readonly llamaQuantize?: Usage
  /** Wall time of convert and llama-quantize together over that of mq. */
  readonly wallRatio?: number
  /** Wall time of llama-quantize over that of mq from the same GGUF. */
  readonly quantizeRatio?: number
  /** The same ratios of CPU time, which other work on the machine disturbs less. */
  readonly cpuRatio?: number
  readonly quantizeCpuRatio?: number
  /** Sizes of what both wrote. */
  readonly outputBytes: number
  readonly peerOutputBytes?: number
  /** Why there is no peer. */
  readonly leftOut?: string
}

/** Makes a checkpoint in a temporary folder and takes it the whole way. */
export async function benchPipeline(options: PipelineOptions, say: (text: string) => void): Promise<PipelineMeasurement> {
  const { preset, sparse, threads = availableParallelism() } = options
  const folder = await mkdtemp(join(tmpdir(), 'mq-bench-pipeline-'))
  try {
    say(`making a checkpoint of ${(options.bytes / 1e9).toFixed(2)} GB`)
    const { imatrix, sourceBytes, weights } = await writeSynthetic(join(folder, 'model'), options.bytes, sparse)
    const quantize = async (source: string, output: string): Promise<Usage> => {
      const memory = options.memory === undefined ? [] : ['--memory', options.memory]
      const args = ['quantize', source, '--preset', preset, '--imatrix', imatrix, '-o', join(folder, output)]
      return runMq([...args, '--threads', String(threads), ...memory])
    }
    say('mq quantize')
    const mq = await quantize(join(folder, 'model'), 'mq.gguf')
    const outputBytes = (await stat(join(folder, 'mq.gguf'))).size
    const ours = { preset, threads, sourceBytes, weights, sparse, mq, outputBytes }
    const leftOut = sparse ? 'a sparse checkpoint is for memory alone' : whyNoForeign()
    if (leftOut !== undefined) return { ...ours, leftOut }

    await rm(join(folder, 'mq.gguf'))
    const foreign = async (command: string, args: readonly string[]): Promise<Usage> => {
      try {
        return await runWatched(...foreignCommand(folder, command, args))
      } finally {
        await rmdir(mountPoint(folder)).catch(() => undefined)
      }
    }
    say('convert_hf_to_gguf.py')
    const convert = await foreign('python3', ['-c', convertScript, 'model', '--outtype', 'bf16', '--outfile', 'bf16.gguf'])
    say('llama-quantize')
    const peerArgs = ['--imatrix', 'model/imatrix.gguf', 'bf16.gguf', 'llama.gguf', preset, String(threads)]
    const llamaQuantize = await foreign('llama-quantize', peerArgs)
    const peerOutputBytes = (await stat(join(folder, 'llama.gguf'))).size
    await rm(join(folder, 'llama.gguf'))
    say('mq quantize from the bf16 GGUF')
    const mqFromGguf = await quantize(join(folder, 'bf16.gguf'), 'mq.gguf')
    return {
      ...ours,
      mqFromGguf,
      convert,
      llamaQuantize,
      wallRatio: (convert.wallSeconds + llamaQuantize.wallSeconds) / mq.wallSeconds,
      quantizeRatio: llamaQuantize.wallSeconds / mqFromGguf.wallSeconds,
      cpuRatio: (convert.cpuSeconds + llamaQuantize.cpuSeconds) / mq.cpuSeconds,
      quantizeCpuRatio: llamaQuantize.cpuSeconds / mqFromGguf.cpuSeconds,
      peerOutputBytes,
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The command line as a user has it. */
export function mqEntry(): string {
  const below = import.meta.url.includes('/dist/') ? '../../' : '../'
  return fileURLToPath(new URL(`${below}bin/run.js`, import.meta.url))
}

function runMq(args: readonly string[]): Promise<Usage> {
  return runWatched(process.execPath, [mqEntry(), ...args], { env: { ...process.env, NODE_ENV: 'production' } })
}
