import { ggmlBytes } from '../../formats/ggml/types.js'
import type { BlueprintTensor } from '../blueprint.js'
import { elementCount, rowLength } from '../recipe/index.js'
import { cutTensor, type Importance } from './cut.js'
import { isCopy, storesExactly } from './exact.js'
import type { PlacedTensor } from './output-layout.js'
import type { QuantizeTask, RowRun } from './task.js'

/** Values of a task: enough that handing it over costs nothing, few enough that many fit in memory and a kill loses little. */
export const taskElements = 2 ** 19

/** Tensors of at most so many values are measured whole; of larger ones, one row in `sampledShare`. */
const measuredWhole = 2 ** 20
const sampledShare = 16

/**
 * The tasks that write an output, in the order of the file. The same blueprint, layout and importance give the same tasks with the same
 * numbers: a journal relies on it.
 * @param paths where each part of the output is written.
 */
export function* tasksOf(
  tensors: readonly BlueprintTensor[],
  places: readonly PlacedTensor[],
  paths: readonly string[],
  importance: Importance | undefined,
): Generator<QuantizeTask> {
  let number = 0
  for (const [index, tensor] of tensors.entries()) {
    const { name, type, part: file, offset } = places[index] as PlacedTensor
    const method = isCopy(tensor.recipe, type) ? 'copy' : storesExactly(type, tensor.recipe) ? 'exact' : 'measure'
    const whole = elementCount(tensor.shape) <= measuredWhole
    const rowBytes = ggmlBytes(type, rowLength(tensor))
    let part = 0
    for (const run of cutTensor(tensor, taskElements, importance)) {
      yield {
        kind: 'quantize',
        number,
        tensor: name,
        part,
        run,
        type,
        output: paths[file] as string,
        offset: offset + run.tensorRow * rowBytes,
        method,
        measured: whole ? { start: 0, end: run.end - run.start } : middleRows(run),
      }
      part += 1
      number += 1
    }
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
