import pLimit from 'p-limit'
import { newChannel } from '../../collections/index.js'
import type { Progress, WithProgress } from '../../progress/index.js'
import type { StepRecord, WorkFolder } from '../work/work-folder.js'
import type { UnitExecutor, UnitResult, UnitTask } from './executor.js'

/** A unit that is no step of the graph. */
export type PartTask = Omit<UnitTask, 'folder'>

/** Runs units that are not done, as many at a time as the executor takes. @returns the records of all, in the same order. */
export async function* runParts(
  parts: readonly PartTask[],
  executor: UnitExecutor,
  work: WorkFolder,
): WithProgress<StepRecord[]> {
  const events = newChannel<Progress | undefined>()
  let done = 0
  const limit = pLimit(executor.capacity)
  const runOne = async (part: PartTask): Promise<StepRecord> => {
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
  part: PartTask,
  executor: UnitExecutor,
  work: WorkFolder,
  say: (progress: Progress) => void,
): Promise<StepRecord> {
  const startedAt = performance.now()
  const { unit, key } = part
  const stream = executor.run({ ...part, folder: work.folderOf(unit.kind, key) })
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
