import type { Effort } from '../../../formats/ggml/effort.js'
import {
  type ErrorSums,
  type Feedback,
  type Importance,
  inputsOf,
  type NeedsMemory,
  type PreparedKey,
  type QuantizeTask,
  runTasks,
} from '../../engine/index.js'
import type { HeldLock } from '../../files/index.js'
import type { Blueprint, RemoteShards } from '../../model/index.js'
import type { OutputLayout } from '../../plan/index.js'
import type { WithProgress } from '../../progress/index.js'
import { inRunningOrder } from '../running-order.js'
import { countTasks, type TaskSource, taskElements, tasksOf, writtenBytes } from '../tasks.js'
import { newTensorStatistics, type QuantizedTensor, type TensorStatistics } from '../tensor-statistics.js'
import { copiedTensors, zeroNotes, zeroTensors } from '../zero-tensors.js'
import { beginOutput, type Output } from './begin-output.js'
import { identityOf } from './identity.js'
import { earlierTasks } from './resume.js'
import { phasesOf, type ShardWindow, shardWindow } from './shard-window.js'
import { newTaskSet, type TaskSet } from './task-set.js'

/** Everything that quantize determines before the first byte is written. */
export interface WriteOptions {
  readonly blueprint: Blueprint
  readonly layout: OutputLayout
  /** Bytes of all tensors. */
  readonly dataBytes: number
  readonly effort: Effort
  /** The path that was asked for. */
  readonly path: string
  /** Keeps other processes from writing the same output. */
  readonly lock: HeldLock
  readonly threads: number
  /** Whether small work may be done without threads. */
  readonly mayRunInline: boolean
  /** Memory for all running tasks together, in bytes. */
  readonly taskBytes: number
  readonly importance: Importance | undefined
  readonly feedback: Feedback | undefined
  readonly needs: NeedsMemory | undefined
  /** Weight files that come one by one, where they do. */
  readonly shards: RemoteShards | undefined
  readonly force: boolean
  readonly fresh: boolean
  readonly signal: AbortSignal | undefined
}

/** What was written. */
export interface Written {
  readonly tensors: readonly QuantizedTensor[]
  /** Bytes that an earlier run had written. */
  readonly resumedBytes: number
  readonly notes: readonly string[]
}

/** So often at most are data and journal flushed to the disk: a power cut costs so much of the work, a kill far less. */
const syncEveryMs = 5000

/**
 * Writes the output of a layout: resumes an earlier run, runs the missing tasks, and renames the files.
 * @throws MqError as quantize; what is done is kept where doing the same again makes sense, and removed elsewhere.
 */
export async function* writeOutput(options: WriteOptions): WithProgress<Written> {
  const { blueprint, layout, dataBytes, path, threads, mayRunInline, taskBytes, feedback, needs, signal } = options
  const work = yield* takeUp(options)
  const { output, finished } = work
  const resumedBytes = work.doneBytes
  const syncs = periodically(syncEveryMs, () => output.sync())
  let whole = false
  let useless = false
  let opened: ShardWindow | undefined
  try {
    const setup = { files: blueprint.files, effort: options.effort }
    const missing = (isWanted: (number: number) => boolean): Iterable<QuantizeTask> =>
      inRunningOrder(sourceOf(options, output.paths), ({ number }) => !finished.has(number) && isWanted(number), threads)
    const inputs = feedback && needs && inputsOf(feedback.calibration, needs)
    const run = async function* (tasks: Iterable<QuantizeTask>): WithProgress<void> {
      const given = { inputs, signal }
      const pool = runTasks(tasks, { setup, threads, mayRunInline, memoryBytes: taskBytes, what: path, ...given })
      for await (const { task, sums, seconds, checksum } of pool) {
        const [measured] = sums
        output.journal.append({ task: task.number, checksum, seconds, sums: measured })
        count(work, task, measured, seconds)
        await syncs.now()
        yield { stage: 'quantize', done: work.doneBytes, total: dataBytes, unit: 'bytes', item: task.tensor }
      }
    }
    if (options.shards === undefined) yield* run(missing(() => true))
    else {
      const sourceOfKey = async (key: PreparedKey): Promise<unknown> => await inputs?.source(key)
      const phases = await phasesOf(
        missing(() => true),
        options.shards,
        sourceOfKey,
      )
      const window = (opened = shardWindow(options.shards, signal))
      for (const [index, phase] of phases.entries()) {
        yield* window.hold(phase, phases[index + 1])
        yield* run(missing((number) => phase.numbers.has(number)))
      }
    }
    await syncs.settled()
    await output.commit()
    whole = true
    const copied = await zeroTensors(copiedTensors(blueprint.tensors, layout), layout)
    const zeros = new Set([...work.statistics.zeros(), ...copied])
    const notes = [...zeroNotes(layout, zeros), ...notesOf(output, resumedBytes / dataBytes)]
    return { tensors: work.statistics.tensors(), resumedBytes, notes }
  } catch (error) {
    const known = await output.errorOf(error)
    useless = !worthKeeping.has(known.code)
    throw known
  } finally {
    await opened?.close(whole)
    // Also where the consumer of this stream stops listening.
    if (!whole) {
      await syncs.settled().catch(() => undefined)
      await (useless || finished.size === 0 ? output.discard() : output.keep())
    }
  }
}

/** Errors after which the partial output remains valid. */
const worthKeeping: ReadonlySet<string> = new Set([
  'INTERRUPTED',
  'DISK_FULL',
  'INTERNAL',
  // Of a hub that weights come from.
  'NETWORK',
  'HUB_ANSWER_INVALID',
  'DOWNLOAD_CORRUPT',
])

/** An output and its progress. */
interface Work {
  readonly output: Output
  readonly statistics: TensorStatistics
  readonly finished: TaskSet
  doneBytes: number
}

async function* takeUp(options: WriteOptions): WithProgress<Work> {
  const { blueprint, layout, path, importance, feedback, signal, dataBytes } = options
  const taskCount = countTasks(sourceOf(options, []))
  const output = await beginOutput({
    ...options,
    identity: await identityOf(blueprint, layout, { importance, feedback, effort: options.effort, taskElements }),
    taskCount,
    inputs: blueprint.files,
  })
  const work: Work = { output, statistics: newTensorStatistics(layout.tensors), finished: newTaskSet(taskCount), doneBytes: 0 }
  const { earlier, paths, named } = output
  if (earlier === undefined) return work
  let taken = false
  try {
    for await (const { task, record, intact } of earlierTasks(tasksOf(sourceOf(options, paths)), earlier, {
      signal,
      what: path,
    })) {
      if (intact) {
        count(work, task, record.sums, record.seconds)
        yield { stage: 'resume', done: work.doneBytes, total: dataBytes, unit: 'bytes', item: task.tensor }
      } else if (named.has(paths.indexOf(task.output))) {
        // Somebody else's file of that name: the earlier run is of no use.
        return yield* takeUp({ ...options, fresh: true })
      }
    }
    taken = true
    return work
  } finally {
    if (!taken) await output.keep()
  }
}

/** What the tasks of an output follow from. @param paths where each part is written. */
export function sourceOf(
  { blueprint, layout, importance, feedback }: Pick<WriteOptions, 'blueprint' | 'layout' | 'importance' | 'feedback'>,
  paths: readonly string[],
): TaskSource {
  const inputOf = feedback && ((tensor: string, matrix: number) => feedback.calibration.inputOf(tensor, matrix))
  const dampingOf = feedback?.dampingOf ?? (() => 0)
  return { tensors: blueprint.tensors, locations: layout.tensors, paths, known: { importance, inputOf }, dampingOf }
}

function count(work: Work, task: QuantizeTask, sums: ErrorSums | undefined, seconds: number): void {
  work.finished.add(task.number)
  work.statistics.add(task, sums, seconds)
  work.doneBytes += writtenBytes(task)
}

function notesOf({ notes }: Output, resumedShare: number): string[] {
  const resumed = `${(100 * resumedShare).toFixed(1)} % was written by an earlier run and verified.`
  return resumedShare === 0 ? [...notes] : [...notes, resumed]
}

/** Runs `action` in the background, at most one at a time and not more often than every `everyMs`. */
function periodically(everyMs: number, action: () => Promise<void>): { now(): Promise<void>; settled(): Promise<void> } {
  let running = Promise.resolve()
  let startedAt = performance.now()
  return {
    async now() {
      if (performance.now() - startedAt < everyMs) return
      await running
      startedAt = performance.now()
      running = action()
      // It is awaited later; until then it must not count as unhandled.
      running.catch(() => undefined)
    },
    settled: () => running,
  }
}
