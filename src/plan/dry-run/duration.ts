import { availableParallelism } from 'node:os'
import { type Codec, openCodec } from '../../../formats/ggml/codec.js'
import { type GgmlTypeName, ggmlType } from '../../../formats/ggml/types.js'
import { elementCount } from '../../recipe/index.js'
import type { Plan } from '../plan.js'

/** How long a quantization will take, in seconds: between these two. */
export interface Duration {
  readonly low: number
  readonly high: number
  readonly threads: number
}

/** Bytes a second that a disk reads and writes: a fast one, and a slow one. */
const diskSpeeds = { fast: 3e9, slow: 150e6 } as const
/** Besides the encoder there are decoding, statistics and waiting: from a tenth of its time to as much again, on a busy machine. */
const overheads = { low: 1.1, high: 2.5 } as const
/** What is encoded over and over to be timed. */
const sample = { rows: 16, rowLength: 1024 } as const
/** Processor time for each type: until the engine has compiled the kernel well, and then to time it. */
const [warmSeconds, timedSeconds] = [0.04, 0.04]
/** Types that were timed in this process: they take no other time in the next plan. */
const timed = new Map<GgmlTypeName, number>()

/**
 * An honest range for how long a plan takes on this machine: each of its types is timed on a few rows, in the processor time of this
 * thread; reading and writing are between a slow and a fast disk.
 * @param sourceBytes what is read.
 */
export async function estimateDuration(plan: Plan, sourceBytes: number, threads = availableParallelism()): Promise<Duration> {
  const elements = new Map<GgmlTypeName, number>()
  for (const { type, shape } of plan.tensors) elements.set(type, (elements.get(type) ?? 0) + elementCount(shape))
  const codec = await openCodec()
  let compute = 0
  for (const [type, count] of elements) compute += count * secondsPerWeight(codec, type)
  const bytes = sourceBytes + plan.dataBytes
  return {
    low: Math.max((overheads.low * compute) / threads, bytes / diskSpeeds.fast),
    high: (overheads.high * compute) / threads + bytes / diskSpeeds.slow,
    threads,
  }
}

/** Processor time that encoding a weight takes, timed in this process; 0 of types that are copied. */
export function secondsPerWeight(codec: Codec, type: GgmlTypeName): number {
  const known = timed.get(type)
  if (known !== undefined) return known
  if (ggmlType(type).blockSize === 1 || !codec.canQuantize(type)) return 0
  const { rows, rowLength } = sample
  const values = Float32Array.from({ length: rows * rowLength }, (_, at) => Math.sin(at * 12.9898) * Math.cos(at * 0.618))
  const encode = (): void => void codec.quantize(type, values, rowLength)
  spend(warmSeconds, encode)
  const seconds = spend(timedSeconds, encode) / values.length
  timed.set(type, seconds)
  return seconds
}

/** Runs work again and again for so much processor time. @returns the time of one run. */
function spend(seconds: number, work: () => void): number {
  const before = process.cpuUsage()
  for (let runs = 1; ; runs++) {
    work()
    const { user, system } = process.cpuUsage(before)
    if (user + system >= 1e6 * seconds) return (user + system) / 1e6 / runs
  }
}
