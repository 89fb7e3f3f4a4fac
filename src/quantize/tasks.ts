import { ggmlBytes } from '../../formats/ggml/types.js'
import { type Columns, isCopy, isLossless, needsOf, type QuantizeTask, type RowRun, rowRangesOf } from '../engine/index.js'
import type { BlueprintTensor } from '../model/index.js'
import type { TensorLocation } from '../plan/index.js'
import { elementCount, rowLength } from '../recipe/index.js'

/** Values of a task: enough that the overhead is small, few enough that many fit in memory and a kill loses little. */
export const taskElements = 2 ** 18

/** Tensors of at most so many values are measured whole; of larger ones, one row in `sampledShare`. */
const measuredWhole = 2 ** 20
const sampledShare = 16

/** Everything that determines the tasks of an output. */
export interface TaskSource {
  readonly tensors: readonly BlueprintTensor[]
  /** One for each tensor. */
  readonly locations: readonly TensorLocation[]
  /** Where each part of the output is written. */
  readonly paths: readonly string[]
  readonly known: Columns
  /** Damping of error feedback by tensor; 0 for none. */
  readonly dampingOf: (tensor: string) => number
}

/**
 * The tasks that write an output, in the order of the file. The same blueprint, layout and columns give the same tasks with the same
 * numbers: a journal relies on it.
 */
export function* tasksOf(source: TaskSource): Generator<QuantizeTask> {
  let number = 0
  for (const index of source.tensors.keys()) {
    for (const task of tensorTasks(source, index, number)) {
      yield task
      number += 1
    }
  }
}

/** How many tasks an output has. */
export function countTasks(source: TaskSource): number {
  let count = 0
  for (const index of source.tensors.keys()) count += countTensorTasks(source, index)
  return count
}

/** How many tasks a tensor has. */
export function countTensorTasks({ tensors }: TaskSource, index: number): number {
  let count = 0
  for (const _ of rowRangesOf(tensors[index] as BlueprintTensor, taskElements)) count += 1
  return count
}

/** The tasks of one tensor. @param first the number of the first of them. */
export function* tensorTasks(source: TaskSource, index: number, first: number): Generator<QuantizeTask> {
  const { locations, paths, known, dampingOf } = source
  const tensor = source.tensors[index] as BlueprintTensor
  const { name, type, part: file, offset } = locations[index] as TensorLocation
  const method = isCopy(tensor.recipe, type) ? 'copy' : isLossless(type, tensor.recipe) ? 'lossless' : 'measure'
  const damping = dampingOf(name)
  const whole = elementCount(tensor.shape) <= measuredWhole
  const rowBytes = ggmlBytes(type, rowLength(tensor))
  let part = 0
  for (const run of rowRangesOf(tensor, taskElements, known)) {
    const needs = method === 'measure' ? needsOf(run, [type], damping) : undefined
    yield {
      kind: 'quantize',
      number: first + part,
      tensor: name,
      part,
      run,
      type,
      output: paths[file] as string,
      offset: offset + run.tensorRow * rowBytes,
      method,
      measured: whole ? { start: 0, end: run.end - run.start } : middleRows(run),
      needs,
    }
    part += 1
  }
}

/** Rows in the middle of every run: spread over the tensor, the same ones each time, and together in memory. */
function middleRows({ start, end }: RowRun): QuantizeTask['measured'] {
  const rows = end - start
  const count = Math.max(1, Math.round(rows / sampledShare))
  const first = Math.floor((rows - count) / 2)
  return { start: first, end: first + count }
}

/** Bytes that a task writes. */
export function writtenBytes({ type, run }: QuantizeTask): number {
  return ggmlBytes(type, (run.end - run.start) * rowLength(run.recipe))
}
