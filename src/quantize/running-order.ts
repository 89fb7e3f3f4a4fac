import { groupBy } from '../collections/index.js'
import { keyText, type QuantizeTask } from '../engine/index.js'
import { countTensorTasks, type TaskSource, tensorTasks } from './tasks.js'

/** Maximum look-ahead in tasks, each some 500 bytes. */
const maxTasksAhead = 8192

/**
 * Orders the tasks of an output for running: those of a layer that need the same prepared covariance one after another, so that few are in
 * memory at a time. Each task also names the needs of the next.
 * @param wanted which tasks are to be run.
 * @param groupsAhead number of later needs to name, which threads can prepare while others still work.
 */
export function* inRunningOrder(
  source: TaskSource,
  wanted: (task: QuantizeTask) => boolean,
  groupsAhead = 1,
): Generator<QuantizeTask> {
  const groups: QuantizeTask[][] = []
  let held = 0
  for (const task of byNeeds(source)) {
    if (!wanted(task)) continue
    if (task.needs === undefined) {
      yield task
      continue
    }
    const last = groups.at(-1)
    if (last !== undefined && nameOf(last[0]) === nameOf(task)) last.push(task)
    else groups.push([task])
    held += 1
    while (groups.length > 1 + groupsAhead || (groups.length > 1 && held > maxTasksAhead)) held -= yield* first(groups)
  }
  while (groups.length > 0) yield* first(groups)
}

/** @returns how many tasks there were in the first group. */
function* first(groups: QuantizeTask[][]): Generator<QuantizeTask, number> {
  const group = groups.shift() ?? []
  const nextNeeds = groups.flatMap(([head]) => head?.needs ?? [])
  yield* group.map((task) => ({ ...task, nextNeeds }))
  return group.length
}

function* byNeeds(source: TaskSource): Generator<QuantizeTask> {
  const layers = groupBy(source.tensors.keys(), (index) => source.tensors[index]?.layer ?? source.tensors[index]?.name)
  const firsts = firstNumbers(source)
  for (const indices of layers.values()) {
    yield* merge(indices.map((index) => tensorTasks(source, index, firsts[index] as number)))
  }
}

/** Streams merged such that tasks with the same needs come together, as far as the streams have them in the same order. */
function* merge(streams: readonly Generator<QuantizeTask, void>[]): Generator<QuantizeTask> {
  const heads = streams.map((stream) => ({ stream, next: stream.next() }))
  for (;;) {
    const open = heads.find(({ next }) => next.done !== true)
    if (open === undefined) return
    const name = nameOf(open.next.value ?? undefined)
    for (const head of heads) {
      while (head.next.done !== true && nameOf(head.next.value) === name) {
        yield head.next.value
        head.next = head.stream.next()
      }
    }
  }
}

function nameOf(task: QuantizeTask | undefined): string {
  return (task?.needs ?? []).map(keyText).join()
}

/** Number of the first task of each tensor. */
function firstNumbers(source: TaskSource): number[] {
  const firsts: number[] = []
  let number = 0
  for (const index of source.tensors.keys()) {
    firsts.push(number)
    number += countTensorTasks(source, index)
  }
  return firsts
}
