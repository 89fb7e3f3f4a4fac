import { keyText } from './factors.js'
import type { QuantizeTask } from './task.js'
import { type TaskSource, tensorTasks } from './tasks.js'

/**
 * The tasks of an output in the order in which they are best run: those of a layer that share a factor one after another, so that few
 * factors are alive at a time. Every task of a factor says which one comes next.
 * @param wanted which tasks are to be run.
 */
export function* inRunningOrder(source: TaskSource, wanted: (task: QuantizeTask) => boolean): Generator<QuantizeTask> {
  let group: QuantizeTask[] = []
  for (const task of byFactor(source)) {
    if (!wanted(task)) continue
    if (task.factors === undefined) {
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
  return group.map((task) => ({ ...task, nextFactors: next.factors ?? [] }))
}

function* byFactor(source: TaskSource): Generator<QuantizeTask> {
  const layers = new Map<number | string, number[]>()
  for (const [index, { name, layer = name }] of source.tensors.entries()) {
    layers.set(layer, [...(layers.get(layer) ?? []), index])
  }
  const firsts = firstNumbers(source)
  for (const indices of layers.values()) {
    yield* merge(indices.map((index) => tensorTasks(source, index, firsts[index] as number)))
  }
}

/** Streams merged such that what has one factor comes together, as far as the streams have the factors in the same order. */
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
  return task?.factors === undefined ? '' : keyText(task.factors[0])
}

/** Number of the first task of each tensor. */
function firstNumbers(source: TaskSource): number[] {
  const plain = { ...source, known: {} }
  const firsts: number[] = []
  let number = 0
  for (const index of source.tensors.keys()) {
    firsts.push(number)
    number += [...tensorTasks(plain, index, 0)].length
  }
  return firsts
}
