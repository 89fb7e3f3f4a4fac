import { join } from 'node:path'
import pLimit from 'p-limit'
import { newChannel } from '../../collections/index.js'
import type { Progress, WithProgress } from '../../progress/index.js'
import { unitKey } from '../graph/digest.js'
import type { Unit } from '../graph/step.js'
import type { StepRecord, WorkFolder } from '../work/work-folder.js'
import type { UnitExecutor, UnitResult, UnitTask } from './executor.js'
import { isOutput, partsOf } from './units/output-unit.js'

/**
 * Splits units that write large outputs: their parts are units of their own, which an executor can run at the same time, and the unit puts
 * them together. The result has the bytes, and the name, of the unit in one piece. What parts are done is kept in the work folder, until the
 * output is there.
 * @param partWeights weights of a part, at least; by default 64 Mi.
 */
export function splitting(executor: UnitExecutor, work: WorkFolder, partWeights?: number): UnitExecutor {
  return {
    ...executor,
    async *run(task) {
      if (!isOutput(task.unit.kind)) return yield* executor.run(task)
      const ranges = await partsOf(task, partWeights)
      const parts = ranges.map((range) => partTask(task, range))
      if (parts.length < 2) return yield* executor.run(task)
      const records = yield* runParts(parts, executor, work)
      const made = ranges.map((range, index) => {
        const { folder, files } = records[index] as StepRecord
        return { ...range, path: join(folder, files[0]?.name ?? '') }
      })
      const result = yield* executor.run({ ...task, parts: made })
      for (const { key } of parts) await work.remove('quantize-part', key)
      return result
    },
  }
}

function partTask({ unit, inputs }: UnitTask, { first, end }: { first: number; end: number }): Omit<UnitTask, 'folder'> {
  const part: Unit = { ...unit, kind: 'quantize-part', options: { ...unit.options, of: unit.kind, first, end } }
  return { unit: part, key: unitKey(part), inputs }
}

/** Runs parts, as many at a time as the executor takes. @returns their records, in the same order. */
async function* runParts(
  parts: readonly Omit<UnitTask, 'folder'>[],
  executor: UnitExecutor,
  work: WorkFolder,
): WithProgress<StepRecord[]> {
  const events = newChannel<Progress | undefined>()
  let done = 0
  const limit = pLimit(executor.capacity)
  const runOne = async (part: Omit<UnitTask, 'folder'>): Promise<StepRecord> => {
    const known = await work.find(part.unit.kind, part.key)
    const record = known ?? (await runAndKeep(part, executor, work, (progress) => events.put(progress)))
    done += 1
    events.put({ stage: 'parts', done, total: parts.length, unit: 'steps' })
    return record
  }
  const records = Promise.all(parts.map((part) => limit(() => runOne(part))))
  const end = (): void => {
    limit.clearQueue()
    events.put(undefined)
  }
  records.then(end, end)
  for (let progress = await events.take(); progress !== undefined; progress = await events.take()) yield progress
  return await records
}

async function runAndKeep(
  { unit, key, inputs }: Omit<UnitTask, 'folder'>,
  executor: UnitExecutor,
  work: WorkFolder,
  say: (progress: Progress) => void,
): Promise<StepRecord> {
  const startedAt = performance.now()
  const stream = executor.run({ unit, key, inputs, folder: await work.begin(unit.kind, key) })
  for (;;) {
    const next: IteratorResult<Progress, UnitResult> = await stream.next()
    if (next.done !== true) {
      // Progress of single parts says nothing of the whole; what is to be said once is.
      if (next.value.notice !== undefined) say(next.value)
      continue
    }
    const seconds = (performance.now() - startedAt) / 1000
    return next.value.record ?? (await work.commit(unit, key, { ...next.value, seconds }))
  }
}
