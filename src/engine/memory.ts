import { availableParallelism } from 'node:os'
import { MqError } from '../errors/index.js'
import { runElements, type WorkerTask } from './task.js'

// Measured on Linux with Node 20; npm run bench -- pipeline --memory shows whether they hold.
/** What the process may come to hold besides what it holds already: the journal, tasks on their way to threads, garbage. */
const growthBytes = 40 * 2 ** 20
/** A thread: its JavaScript heap, and the kernels' memory. */
const threadBytes = 20 * 2 ** 20
/** What most tasks hold; a few have rows that cannot be cut so small. */
const ordinaryTaskBytes = 3 * 2 ** 20
/** The limit where none is given, and where so much is enough for all threads. */
const defaultMemoryBytes = 600e6
/** Tasks of each thread for which there is room where no limit is given. */
const ordinaryTasksEach = 2

/** What is held of covariances besides tasks. */
export interface FeedbackMemory {
  /** In each thread: tables and working memory of the kernels. */
  readonly threadBytes: number
  /** Most that a task needs of covariances, while it is made. */
  readonly sharedBytes: number
}

/** For how many tasks there is room for that where no limit is given: those in use, the next, some that come back. */
const sharedAtATime = 4

/** How a limit on memory is shared out. */
export interface MemoryShare {
  readonly threads: number
  /** What all tasks under way may hold together. */
  readonly taskBytes: number
}

/**
 * Shares out what a process may hold in memory: what it holds already - Node, the program, the model's names and sizes -, so many threads
 * as there is room for, the rest for rows under way. A task that is larger than others runs when there is room for it.
 * @param memoryBytes the whole process, Node included; by default 600 MB, or more where all threads together need more.
 * @param threads at most so many; by default one for each core.
 * @param largestTask bytes of the largest task.
 * @param feedback what is needed besides where codes are chosen with feedback.
 * @throws MqError MEMORY_TOO_SMALL where there is no room for one thread.
 */
export function memoryShare(
  memoryBytes: number | undefined,
  threads = availableParallelism(),
  largestTask = 0,
  feedback: FeedbackMemory = { threadBytes: 0, sharedBytes: 0 },
): MemoryShare {
  const { sharedBytes } = feedback
  const heldBytes = process.memoryUsage.rss() + growthBytes
  const eachBytes = threadBytes + feedback.threadBytes
  const ordinary = Math.min(largestTask, ordinaryTaskBytes)
  if (memoryBytes === undefined) {
    const leastTaskBytes = Math.max(largestTask, threads * ordinaryTasksEach * ordinary) + sharedAtATime * sharedBytes
    return { threads, taskBytes: Math.max(leastTaskBytes, defaultMemoryBytes - heldBytes - threads * eachBytes) }
  }
  const least = heldBytes + sharedBytes + eachBytes + largestTask
  if (memoryBytes < least) throw MqError.of('MEMORY_TOO_SMALL', { asked: memoryBytes, least })
  const room = memoryBytes - heldBytes
  const fitting = Math.max(1, Math.floor((room - sharedBytes - (largestTask - ordinary)) / (eachBytes + ordinary)))
  const used = Math.min(threads, fitting)
  return { threads: used, taskBytes: room - used * eachBytes }
}

/** For each f32 byte of rows: the rows, the source's bytes or the rows they are picked from, the blocks. */
const quantizeFactor = 3
/** The same with a type's values read back, and garbage of many types. */
const measureFactor = 5

/** About what a task holds in memory. */
export function taskBytes(task: WorkerTask): number {
  if (task.kind === 'quantize') return 4 * quantizeFactor * runElements(task.run)
  return task.runs.reduce((bytes, run) => bytes + 4 * measureFactor * runElements(run), 0)
}
