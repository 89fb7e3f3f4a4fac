import { join } from 'node:path'
import * as v from 'valibot'
import { chunkGroups, groupBatchesOf, type ImatrixOptions, makeImatrix, mergeGroups } from '../../../calibration/index.js'
import type { WithProgress } from '../../../progress/index.js'
import { asGguf } from '../../../quantize/index.js'
import type { ChunkRange } from '../../../runner/index.js'
import type { UnitResult, UnitTask } from '../executor.js'
import type { InProcessOptions } from '../in-process.js'
import { groupOptions, textFields, textGroups } from './text-groups.js'

export const calibrationName = 'calibration.gguf'

const calibrateOptions = v.object({
  ...textFields,
  rank: v.optional(v.number()),
  memory: v.optional(v.number()),
  processOutput: v.optional(v.boolean()),
  /** Other groups than those of the model's size: sums differ in their last bits. */
  groupBatches: v.optional(v.number()),
})

type Means = Pick<InProcessOptions, 'threads' | 'models' | 'signal'>

/** Collects importance matrix and input covariances of a model on one text; from its groups of chunks, where the unit was split. @throws what makeImatrix throws. */
export async function* runCalibrate(task: UnitTask, means: Means): WithProgress<UnitResult> {
  const output = join(task.folder, calibrationName)
  if (task.parts === undefined) return yield* collect(task, means)
  const paths = task.parts.map(({ path }) => path)
  yield { stage: 'merge', done: 0, total: paths.length, unit: 'files' }
  const { chunks, tensors } = await mergeGroups(paths, output, { force: true })
  return { files: [calibrationName], result: { chunks, tensors } }
}

/** Collects the same on one group of chunks. @throws what makeImatrix throws. */
export function runCalibratePart(task: UnitTask, means: Means): WithProgress<UnitResult> {
  return collect(task, means, v.parse(groupOptions, task.unit.options))
}

async function* collect(
  { unit, inputs, folder }: UnitTask,
  { threads, models, signal }: Means,
  group?: ImatrixOptions['group'],
): WithProgress<UnitResult> {
  const { memory, ...options } = v.parse(calibrateOptions, unit.options)
  const { chunks, tensors } = yield* makeImatrix({
    model: inputs['model']?.path ?? '',
    toGguf: asGguf,
    text: inputs['text']?.path ?? '',
    output: join(folder, calibrationName),
    // What a run that was cut off before its record has left.
    force: true,
    ...options,
    covarianceMemory: memory,
    group,
    load: models?.load,
    threads,
    signal,
  })
  return { files: [calibrationName], result: { chunks, tensors } }
}

/** The groups of chunks that the unit's sums are made of. @throws what textGroups throws. */
export async function groupsOfCalibrate(task: UnitTask): Promise<ChunkRange[]> {
  const { groupBatches } = v.parse(calibrateOptions, task.unit.options)
  const batches = groupBatches ?? (await groupBatchesOf(task.inputs['model']?.path ?? ''))
  return textGroups(task, (count, contextLength) => chunkGroups(count, contextLength, batches))
}
