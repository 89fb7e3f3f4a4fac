import { keyText } from './shelf.js'
import type { QuantizeTask } from './task.js'
import { countTensorTasks, type TaskSource, tensorTasks } from './tasks.js'

/**
 * The tasks of an output in the order in which they are best run: those of a layer that need the same of a covariance one after another,
 * so that little of it is alive at a time. They say what comes next.
 * @param wanted which tasks are to be run.
 */
export function* inRunningOrder(source: TaskSource, wanted: (task: QuantizeTask) => boolean): Generator<QuantizeTask> {
  let group: QuantizeTask[] = []
  for (const task of byNeeds(source)) {
    if (!wanted(task)) continue
    if (task.needs === undefined) {
      yield task
      continue
    }
    if (group.length > 0 && nameOf(task) !== nameOf(group[0])) {
      yield* leadingTo(group, task)
      group = []
    }
    group.push(task)
  }
  yield* group
}

function leadingTo(group: readonly QuantizeTask[], next: QuantizeTask): readonly QuantizeTask[] {
  return group.map((task) => ({ ...task, nextNeeds: next.needs ?? [] }))
}

function* byNeeds(source: TaskSource): Generator<QuantizeTask> {
  const layers = new Map<number | string, number[]>()
  for (const [index, { name, layer = name }] of source.tensors.entries()) {
    layers.set(layer, [...(layers.get(layer) ?? []), index])
  }
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
