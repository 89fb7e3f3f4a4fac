import type { WorkerTask } from './task.js'
import { runElements } from './task.js'

/**
 * Up to this many encoded values are quantized in the calling thread. A worker thread takes 0.13 s of processor time to start (Node 20), the
 * encoders 0.02 to 0.16 us for a value: about as long as the start of a thread, or less.
 */
const maxValues = 2 ** 20
/** Time of a value that is copied or converted without loss, relative to one that is encoded, at most. */
const plainShare = 1 / 16
/** Time of a value with error feedback, relative to one without, at most. */
const feedbackFactor = 4
/** Overhead of a task (opening, reading, writing), in encoded values. */
const taskValues = 512
/** Preparing a covariance takes columns^3 multiplications; this many take the time of one encoded value. */
const productsPerValue = 64

/**
 * Reads ahead in a list of tasks to decide whether all of them together are small.
 * @returns the same tasks in the same order, and whether they are small.
 */
export function lookAhead<Task extends WorkerTask>(tasks: Iterable<Task>): { tasks: Iterator<Task>; isSmall: boolean } {
  const left = tasks[Symbol.iterator]()
  const taken: Task[] = []
  const prepared = new Set<string>()
  let values = 0
  let next = left.next()
  for (; next.done !== true && values <= maxValues; next = left.next()) {
    taken.push(next.value)
    values += valuesOf(next.value, prepared)
  }
  const last = next
  function* again(): Generator<Task, void, void> {
    yield* taken
    for (let one = last; one.done !== true; one = left.next()) yield one.value
  }
  return { tasks: again(), isSmall: values <= maxValues }
}

/** The work of a task, in encoded values. @param prepared names of data that earlier tasks need already. */
function valuesOf(task: WorkerTask, prepared: Set<string>): number {
  const { needs = [] } = task
  let values = taskValues
  for (const { input, form, damping, columns } of needs) {
    const name = `${form} ${damping} ${input}`
    if (!prepared.has(name)) values += columns ** 3 / productsPerValue
    prepared.add(name)
  }
  const factor = needs.length > 0 ? feedbackFactor : 1
  if (task.kind === 'quantize') return values + runElements(task.run) * (task.method === 'measure' ? factor : plainShare)
  return values + task.types.length * factor * task.runs.reduce((sum, run) => sum + runElements(run), 0)
}
