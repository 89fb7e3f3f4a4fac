import { availableParallelism } from 'node:os'
import { MqError } from '../errors/index.js'
import { runElements, type WorkerTask } from './task.js'

// Measured on Linux with Node 20; npm run bench -- pipeline --memory shows whether they hold.
/** Growth of the process apart from tasks: journal, messages to threads, garbage. */
const growthBytes = 40 * 2 ** 20
/** A thread: its JavaScript heap, and the kernels' memory. */
const threadBytes = 20 * 2 ** 20
/** Memory of most tasks; a few have rows that cannot be split so small. */
const ordinaryTaskBytes = 3 * 2 ** 20
/** Default memory limit, where it is enough for all threads. */
const defaultMemoryBytes = 600e6
/** Tasks for each thread that fit where no limit is given. */
const ordinaryTasksEach = 2

/** Memory for prepared covariances, besides tasks. */
export interface FeedbackMemory {
  /** In each thread: tables and working memory of the kernels. */
  readonly threadBytes: number
  /** Largest prepared data that a task needs, while it is made. */
  readonly sharedBytes: number
}

/**
 * Freed prepared data is not returned to the system: the C library keeps a thread's memory for that thread, and each step of a run has threads of
 * its own. Relative to the data in use; measured on one layer of a model with rows of 14,336, planned and quantized.
 */
const retainedFactor = 1.5

/** Distribution of a memory limit. */
export interface MemoryShare {
  readonly threads: number
  /** Bytes for all running tasks together. */
  readonly taskBytes: number
  /** Whether small work may run without worker threads: true unless several were requested. */
  readonly mayRunInline: boolean
}

/**
 * Distributes the memory limit of the process: what it uses already (Node, the program, the model's names and sizes), as many threads as
 * fit, and the rest for rows in flight. A task that is larger than others runs when there is room for it.
 * @param memoryBytes the whole process, Node included; by default 600 MB, or more where all threads together need more.
 * @param askedThreads at most so many; by default one for each core.
 * @param largestTask bytes of the largest task.
 * @param feedback memory for error feedback.
 * @throws MqError MEMORY_TOO_SMALL where there is no room for one thread.
 */
export function memoryShare(
  memoryBytes: number | undefined,
  askedThreads?: number,
  largestTask = 0,
  feedback: FeedbackMemory = { threadBytes: 0, sharedBytes: 0 },
): MemoryShare {
  const { sharedBytes } = feedback
  const threads = askedThreads ?? availableParallelism()
  const mayRunInline = (askedThreads ?? 1) === 1
  const heldBytes = residentBytes() + growthBytes + Math.ceil(retainedFactor * sharedBytes)
  const eachBytes = threadBytes + feedback.threadBytes
  const ordinary = Math.min(largestTask, ordinaryTaskBytes)
  if (memoryBytes === undefined) {
    const minTaskBytes = Math.max(largestTask, threads * ordinaryTasksEach * ordinary) + sharedBytes
    const taskBytes = Math.max(minTaskBytes, defaultMemoryBytes - heldBytes - threads * eachBytes)
    return { threads, taskBytes, mayRunInline }
  }
  const least = heldBytes + sharedBytes + eachBytes + largestTask
  // Rounded up: resident memory differs a little from one run to the next.
  if (memoryBytes < least) throw MqError.of('MEMORY_TOO_SMALL', { asked: memoryBytes, least: roundedUp(least) })
  const room = memoryBytes - heldBytes
  const fitting = Math.max(1, Math.floor((room - sharedBytes - (largestTask - ordinary)) / (eachBytes + ordinary)))
  const used = Math.min(threads, fitting)
  return { threads: used, taskBytes: room - used * eachBytes, mayRunInline }
}

let start: { readonly rss: number; readonly used: number } | undefined

/**
 * Resident memory without what an earlier step has freed: threads that have ended leave memory with the process, which the threads of the next
 * step reuse. So every step of a run, planning first, has the same baseline.
 */
function residentBytes(): number {
  const { rss, heapUsed, external } = process.memoryUsage()
  const used = heapUsed + external
  start ??= { rss, used }
  return Math.min(rss, start.rss + Math.max(0, used - start.used))
}

/** Resident memory at the start of a step varies from one run to the next by up to 70 MB of garbage that is not collected yet. */
const spareBytes = 8e7

/** Rounded up to tens of megabytes, with `spareBytes` added. */
function roundedUp(bytes: number): number {
  return 1e7 * Math.ceil((bytes + spareBytes) / 1e7)
}

/** Bytes of a task for each f32 byte of its rows: the rows, the source's bytes or the rows before a permutation, the blocks. */
const quantizeFactor = 3
/** The same with a type's values read back, and garbage of many types. */
const measureFactor = 5

/** Estimated bytes that a task holds in memory. */
export function taskBytes(task: WorkerTask): number {
  const elements = task.kind === 'quantize' ? runElements(task.run) : task.runs.reduce((sum, run) => sum + runElements(run), 0)
  return taskBytesOf(task.kind, elements)
}

/** The same of a task with so many values. */
export function taskBytesOf(kind: WorkerTask['kind'], elements: number): number {
  return 4 * (kind === 'quantize' ? quantizeFactor : measureFactor) * elements
}
