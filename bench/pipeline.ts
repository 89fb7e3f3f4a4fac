import { mkdtemp, rm, stat } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { foreign } from './foreign.js'
import { median } from './median.js'
import { runWatched, type Usage } from './process-tree.js'
import { wideSizes, writeSynthetic } from './synthetic-checkpoint.js'

export interface PipelineOptions {
  /** Of the bf16 checkpoint. */
  readonly bytes: number
  readonly preset: string
  readonly threads?: number
  /** --memory of `mq quantize`. */
  readonly memory?: string
  /** Zeros and a few real rows, which take no room on the disk; only our own part is run. */
  readonly sparse: boolean
  /** In a model of wide rows, with made-up covariances of rank 64, besides: codes with error feedback, which llama.cpp does not have. */
  readonly feedback: boolean
  /** How often everything is run, one after the other; figures are medians. */
  readonly rounds: number
}

/** The whole way from a checkpoint to a quantized GGUF, by mq and by llama.cpp, on the same files in the same run: medians over the rounds, of ratios, too. */
export interface PipelineMeasurement {
  readonly preset: string
  readonly threads: number
  readonly rounds: number
  readonly sourceBytes: number
  readonly weights: number
  readonly sparse: boolean
  /** `mq quantize` from the checkpoint, with an importance matrix. */
  readonly mq: Usage
  /** `mq quantize` with a calibration in place of the importance matrix. */
  readonly mqFeedback?: Usage
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

/** convert_hf_to_gguf.py, told the name of a pre-tokenizer that it does not recognise. */
const convertScript = `
import runpy, sys
sys.path.insert(0, '/usr/share/llama.cpp/llama.cpp-tools')
import conversion.base
conversion.base.TextModel.get_vocab_base_pre = lambda self, tokenizer: 'gpt-2'
runpy.run_path('/usr/share/doc/llama.cpp-tools/scripts/convert_hf_to_gguf.py', run_name='__main__')
`

interface Round {
  readonly mq: Usage
  readonly mqFeedback?: Usage
  readonly outputBytes: number
  readonly peer?: {
    readonly convert: Usage
    readonly llamaQuantize: Usage
    readonly mqFromGguf: Usage
    readonly peerOutputBytes: number
  }
}

type Summary = Omit<PipelineMeasurement, 'preset' | 'threads' | 'rounds' | 'sourceBytes' | 'weights' | 'sparse' | 'leftOut'>

function summaryOf(rounds: readonly Round[]): Summary {
  const mq = medianUsage(rounds.map((round) => round.mq))
  const { outputBytes } = rounds[0] as Round
  const peers = rounds.flatMap(({ mq, peer }) => (peer === undefined ? [] : [{ mq, ...peer }]))
  const [first] = peers
  const fed = rounds.flatMap(({ mqFeedback }) => mqFeedback ?? [])
  if (first === undefined) return { mq, mqFeedback: fed.length === 0 ? undefined : medianUsage(fed), outputBytes }
  const ratio = (of: (round: (typeof peers)[number]) => number): number => median(peers.map(of))
  return {
    mq,
    mqFromGguf: medianUsage(peers.map(({ mqFromGguf }) => mqFromGguf)),
    convert: medianUsage(peers.map(({ convert }) => convert)),
    llamaQuantize: medianUsage(peers.map(({ llamaQuantize }) => llamaQuantize)),
    wallRatio: ratio(({ mq, convert, llamaQuantize }) => (convert.wallSeconds + llamaQuantize.wallSeconds) / mq.wallSeconds),
    quantizeRatio: ratio(({ mqFromGguf, llamaQuantize }) => llamaQuantize.wallSeconds / mqFromGguf.wallSeconds),
    cpuRatio: ratio(({ mq, convert, llamaQuantize }) => (convert.cpuSeconds + llamaQuantize.cpuSeconds) / mq.cpuSeconds),
    quantizeCpuRatio: ratio(({ mqFromGguf, llamaQuantize }) => llamaQuantize.cpuSeconds / mqFromGguf.cpuSeconds),
    outputBytes,
    peerOutputBytes: first.peerOutputBytes,
  }
}

/** Of each figure by itself. */
function medianUsage(usages: readonly Usage[]): Usage {
  const names = Object.keys(usages[0] as Usage) as (keyof Usage)[]
  return Object.fromEntries(names.map((name) => [name, median(usages.map((usage) => usage[name]))])) as unknown as Usage
}

/** The size of a file, which is removed. */
async function takeSize(path: string): Promise<number> {
  const { size } = await stat(path)
  await rm(path)
  return size
}

/** Makes a checkpoint in a temporary folder and takes it the whole way. */
export async function benchPipeline(options: PipelineOptions, say: (text: string) => void): Promise<PipelineMeasurement> {
  const { preset, sparse, threads = availableParallelism() } = options
  const folder = await mkdtemp(join(tmpdir(), 'mq-bench-pipeline-'))
  try {
    say(`making a checkpoint of ${(options.bytes / 1e9).toFixed(2)} GB`)
    const model = { sparse, ...(options.feedback && { rank: 64, sizes: wideSizes }) }
    const { imatrix, calibration, sourceBytes, weights } = await writeSynthetic(join(folder, 'model'), options.bytes, model)
    const quantize = async (source: string, output: string, known = ['--imatrix', imatrix]): Promise<Usage> => {
      const memory = options.memory === undefined ? [] : ['--memory', options.memory]
      const args = ['quantize', source, '--preset', preset, ...known, '-o', join(folder, output)]
      return runMq([...args, '--threads', String(threads), ...memory])
    }
    const runForeign = async (command: string, args: readonly string[]): Promise<Usage> => {
      try {
        return await runWatched(...foreign.enter(command, args, folder))
      } finally {
        await foreign.leave(folder)
      }
    }
    const without = sparse
      ? 'a sparse checkpoint is for memory alone'
      : options.feedback
        ? 'it has no error feedback'
        : foreign.available && foreign.has('llama-quantize')
          ? undefined
          : foreign.name
    const peerArgs = ['--imatrix', 'model/imatrix.gguf', 'bf16.gguf', 'llama.gguf', preset, String(threads)]
    const convertArgs = ['-c', convertScript, 'model', '--outtype', 'bf16', '--outfile', 'bf16.gguf']
    const found: Round[] = []
    for (let round = 1; round <= options.rounds; round++) {
      say(`round ${round} of ${options.rounds}: mq quantize`)
      const mq = await quantize(join(folder, 'model'), 'mq.gguf')
      const outputBytes = await takeSize(join(folder, 'mq.gguf'))
      if (without !== undefined) {
        const known = ['--calibration', calibration ?? '']
        const fed = calibration && { mqFeedback: await quantize(join(folder, 'model'), 'feedback.gguf', known) }
        await rm(join(folder, 'feedback.gguf'), { force: true })
        found.push({ mq, ...fed, outputBytes })
        continue
      }
      say('convert_hf_to_gguf.py')
      const convert = await runForeign('python3', convertArgs)
      say('llama-quantize')
      const llamaQuantize = await runForeign('llama-quantize', peerArgs)
      const peerOutputBytes = await takeSize(join(folder, 'llama.gguf'))
      say('mq quantize from the bf16 GGUF')
      const mqFromGguf = await quantize(join(folder, 'bf16.gguf'), 'mq.gguf')
      await rm(join(folder, 'mq.gguf'))
      await rm(join(folder, 'bf16.gguf'))
      found.push({ mq, outputBytes, peer: { convert, llamaQuantize, mqFromGguf, peerOutputBytes } })
    }
    const what = { preset, threads, rounds: found.length, sourceBytes, weights, sparse }
    return { ...what, ...summaryOf(found), leftOut: without }
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
