import { dirname, join } from 'node:path'
import * as v from 'valibot'
import { groupBatchesOf } from '../../../calibration/index.js'
import { writeWhole } from '../../../files/index.js'
import type { WithProgress } from '../../../progress/index.js'
import type { ChunkRange } from '../../../runner/index.js'
import {
  batchGroups,
  chunksOfReference,
  compareChunks,
  comparisonName,
  joinComparisons,
  joinReferences,
  keepReference,
  keptReferenceFiles,
  measureKept,
  measurementJson,
} from '../../../verify/index.js'
import type { UnitResult, UnitTask } from '../executor.js'
import type { InProcessOptions } from '../in-process.js'
import { groupOptions, textFields, textGroups } from './text-groups.js'

const measurementName = 'measurement.json'

const textOptions = v.object(textFields)
const file = v.object({ name: v.string(), sha256: v.string(), sizeBytes: v.number() })
const referenceOptions = v.object({ ...textFields, reference: v.object({ name: v.string(), files: v.array(file) }) })

type Means = Pick<InProcessOptions, 'threads' | 'models' | 'signal'>

/** Base logits of the model that others are measured against; of its groups of chunks, where the unit was split. @throws what keepReference throws. */
export async function* runReference(task: UnitTask, means: Means): WithProgress<UnitResult> {
  if (task.parts === undefined) return yield* keep(task, means)
  yield { stage: 'assemble', done: 0, total: task.parts.length, unit: 'files' }
  await joinReferences(
    task.parts.map(({ path }) => dirname(path)),
    task.folder,
  )
  return { files: [...keptReferenceFiles], result: null }
}

/** The same on one group of chunks. @throws what keepReference throws. */
export function runReferencePart(task: UnitTask, means: Means): WithProgress<UnitResult> {
  return keep(task, means, v.parse(groupOptions, task.unit.options))
}

async function* keep({ unit, inputs, folder }: UnitTask, means: Means, range?: ChunkRange): WithProgress<UnitResult> {
  const { threads, models, signal } = means
  const { chunks, contextLength, reference } = v.parse(referenceOptions, unit.options)
  const [path, text] = [inputs['model']?.path ?? '', inputs['text']?.path ?? '']
  yield* keepReference({ path, text, folder, ...reference, chunks, range, contextLength, load: models?.load, threads, signal })
  return { files: [...keptReferenceFiles], result: null }
}

/** The groups of chunks that base logits are made of. @throws what textGroups throws. */
export async function groupsOfReference(task: UnitTask, asked?: number): Promise<ChunkRange[]> {
  const batches = asked ?? (await batchesOf(task))
  return textGroups(task, (count, contextLength) => batchGroups(count, contextLength, batches))
}

/** Batches of 2048 tokens of a group: half as many tokens as a group of calibration has. */
async function batchesOf({ inputs }: UnitTask): Promise<number> {
  return (await groupBatchesOf(inputs['model']?.path ?? '')) / 8
}

/** How far a model is from its reference; from its groups of chunks, where the unit was split. @throws what measureKept throws. */
export async function* runMeasure(task: UnitTask, { threads, models, signal }: Means): WithProgress<UnitResult> {
  const { unit, inputs, folder, parts } = task
  const options = v.parse(textOptions, unit.options)
  const [model, text, reference] = [inputs['model']?.path ?? '', inputs['text']?.path ?? '', inputs['reference']?.folder ?? '']
  const comparison =
    parts &&
    (await joinComparisons(
      parts.map(({ path }) => path),
      await chunksMeasured(task),
    ))
  const measurement = yield* measureKept(reference, model, text, { ...options, comparison, load: models?.load, threads, signal })
  await writeWhole(join(folder, measurementName), measurementJson(measurement))
  return { files: [measurementName], result: null }
}

/** The figures of the tokens of one group of chunks. @throws what compareChunks throws. */
export async function* runMeasurePart(
  { unit, inputs, folder }: UnitTask,
  { threads, models, signal }: Means,
): WithProgress<UnitResult> {
  const options = v.parse(textOptions, unit.options)
  const range = v.parse(groupOptions, unit.options)
  const [model, text] = [inputs['model']?.path ?? '', inputs['text']?.path ?? '']
  yield* compareChunks(inputs['reference']?.folder ?? '', model, text, folder, {
    ...options,
    range,
    load: models?.load,
    threads,
    signal,
  })
  return { files: [comparisonName], result: null }
}

/** The groups of chunks that a model is measured on. @throws FormatError LOGITS_INVALID. */
export async function groupsOfMeasure(task: UnitTask, asked?: number): Promise<ChunkRange[]> {
  const batches = asked ?? (await batchesOf(task))
  const { chunks, contextLength } = await chunksMeasured(task)
  return batchGroups(chunks, contextLength, batches)
}

async function chunksMeasured({ unit, inputs }: UnitTask): ReturnType<typeof chunksOfReference> {
  const { chunks: most = Number.POSITIVE_INFINITY } = v.parse(textOptions, unit.options)
  const { chunks, contextLength } = await chunksOfReference(inputs['reference']?.folder ?? '')
  return { chunks: Math.min(most, chunks), contextLength }
}
