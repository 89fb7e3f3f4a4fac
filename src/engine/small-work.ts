import type { WorkerTask } from './task.js'
import { runElements } from './task.js'

/**
 * Work of so many encoded values is done in this thread. A worker thread takes 0.13 s of processor time to start (Node 20), the encoders
 * 0.02 to 0.16 us for a value: so it takes about as long as a thread's start, or less.
 */
const maxValues = 2 ** 20
/** A value that is copied or converted without loss takes at most a sixteenth of the time of one that is encoded. */
const plainShare = 1 / 16
/** A value encoded with error feedback takes at most so much as four without. */
const feedbackFactor = 4
/** Opening, reading and writing: what a task takes besides its values. */
const taskValues = 512
/** Preparing a covariance takes columns^3 multiplications, so many in the time of an encoded value. */
const productsPerValue = 64

/**
 * Takes tasks from a list as long as they are small together.
 * @returns the same tasks, those taken first and then what is left of the list; `isSmall` where all are small together.
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

/** The work of a task, in values encoded. @param prepared what tasks before it need already. */
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
