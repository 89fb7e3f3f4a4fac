import { createHash, type Hash } from 'node:crypto'
import { dirname } from 'node:path'
import { readFully, writeFully } from '../../formats/file-bytes.js'
import { FormatError } from '../../formats/format-error.js'
import { inputsOf, type QuantizeTask, runElements, runTasks } from '../engine/index.js'
import { MqError } from '../errors/index.js'
import { checkSpace, withFile } from '../files/index.js'
import type { Blueprint } from '../model/index.js'
import { checkPlan, layoutOutput, modelOfPlan, type Plan } from '../plan/index.js'
import type { WithProgress } from '../progress/index.js'
import { partsInPlace } from './output/parts-in-place.js'
import { sourceOf } from './output/write-output.js'
import { type QuantizeOptions, settle, shareNotes } from './quantize.js'
import { inRunningOrder } from './running-order.js'
import { tasksOf, writtenBytes } from './tasks.js'
import { quantizedTensors, zeroNotes, zeroTensors } from './zero-tensors.js'

/** Weights of a part: seconds to minutes of work for a machine, and some thousands of parts for the largest models. */
const partWeights = 2 ** 26
/** Bytes that are copied at once. */
const copiedBytes = 2 ** 24

/** Consecutive tasks of an output, by their numbers. */
export interface OutputRange {
  readonly first: number
  /** One past the last. */
  readonly end: number
}

/** A part that was quantized: the file of quantizeRange. */
export interface QuantizedRange extends OutputRange {
  readonly path: string
}

/**
 * Cuts an output into parts that can be quantized by themselves: between tensors, or between matrices of a stack, so that no covariance is
 * prepared in many places; a matrix larger than two parts is cut, too. The same model and plan give the same parts.
 */
export function outputRanges(base: Blueprint, plan: Plan, splitMaxBytes?: number, most = partWeights): OutputRange[] {
  const blueprint = modelOfPlan(base, plan)
  const layout = layoutOutput(blueprint, checkPlan(plan, blueprint), 'output.gguf', splitMaxBytes)
  const rowsOf = new Map(blueprint.tensors.map(({ name, shape }) => [name, shape.at(-2) ?? 1]))
  const ranges: OutputRange[] = []
  let first = 0
  let end = 0
  let weights = 0
  for (const { tensor, run } of tasksOf(sourceOf({ blueprint, layout, importance: undefined, feedback: undefined }, []))) {
    const isBoundary = run.tensorRow % (rowsOf.get(tensor) ?? 1) === 0
    if (weights >= 2 * most || (weights >= most && isBoundary)) {
      ranges.push({ first, end })
      first = end
      weights = 0
    }
    weights += runElements(run)
    end += 1
  }
  return end > first ? [...ranges, { first, end }] : ranges
}

/**
 * Quantizes a part of an output: writes the blocks of its tasks one after another, as they follow each other in the output, without headers
 * and without what lies between tensors.
 * @param options of the whole output; `output` names it, and nothing is written there.
 * @throws MqError as quantize does.
 */
export async function* quantizeRange(options: QuantizeOptions, { first, end }: OutputRange, path: string): WithProgress<void> {
  const { signal } = options
  const { effort, blueprint, importance, layout, feedback, needs, share } = await settle(options)
  const source = sourceOf(
    { blueprint, layout, importance, feedback },
    layout.parts.map((part) => part.path),
  )
  const isWanted = ({ number }: QuantizeTask): boolean => number >= first && number < end
  const places = new Map<number, number>()
  let total = 0
  for (const task of tasksOf(source)) {
    if (!isWanted(task)) continue
    places.set(task.number, total)
    total += writtenBytes(task)
  }
  await checkSpace(dirname(path), total, path)
  await withFile(path, 'w', (file) => file.truncate(total))
  function* moved(): Generator<QuantizeTask> {
    for (const task of inRunningOrder(source, isWanted, share.threads)) {
      yield { ...task, output: path, offset: places.get(task.number) as number }
    }
  }
  const { threads, mayRunInline, taskBytes } = share
  const inputs = feedback && needs && inputsOf(feedback.calibration, needs)
  const setup = { files: blueprint.files, effort }
  const pool = runTasks(moved(), { setup, threads, mayRunInline, memoryBytes: taskBytes, what: path, inputs, signal })
  let done = 0
  for await (const { task } of pool) {
    done += writtenBytes(task)
    yield { stage: 'quantize', done, total, unit: 'bytes', item: task.tensor }
  }
}

/** Digests of parts, which are checked while these are copied. */
export interface PartDigests {
  /** SHA-256 of each part, in their order. */
  readonly expected: readonly string[]
  /** The error for parts with other bytes, by their indices. */
  refuse(changed: readonly number[]): MqError
}

/**
 * Puts an output together from all of its parts: the bytes of quantize. Each part is read once.
 * @param parts one for each of outputRanges, in their order.
 * @param digests of the parts; without them bytes are copied as they are.
 * @throws FormatError INPUT_TRUNCATED of a part; MqError DISK_FULL, FILE_UNWRITABLE, INTERRUPTED.
 */
export async function* assembleRanges(
  options: QuantizeOptions,
  parts: readonly QuantizedRange[],
  digests?: PartDigests,
): WithProgress<{ readonly notes: readonly string[] }> {
  const { output, force = false, signal } = options
  const { blueprint, plan, calibration, importance, layout, feedback } = await settle(options)
  const target = await partsInPlace(output, layout.parts, false)
  await target.check(blueprint.files, force)
  await target.prepare(false)
  const tasks = tasksOf(sourceOf({ blueprint, layout, importance, feedback }, target.places))
  const total = plan.dataBytes
  let done = 0
  const changed: number[] = []
  try {
    for (const [index, { first, end, path }] of parts.entries()) {
      if (signal?.aborted === true) throw MqError.of('INTERRUPTED', { what: output })
      const own = Array.from({ length: end - first }, () => tasks.next().value as QuantizeTask)
      yield { stage: 'assemble', done, total, unit: 'bytes', item: own[0]?.tensor ?? '' }
      const hash = digests && createHash('sha256')
      done += await copyPart(path, own, hash)
      if (hash !== undefined && hash.digest('hex') !== digests?.expected[index]) changed.push(index)
    }
    if (digests !== undefined && changed.length > 0) throw digests.refuse(changed)
    await target.finish()
  } catch (error) {
    await target.remove()
    throw error
  }
  const zeros = await zeroTensors(quantizedTensors(blueprint.tensors, layout), layout)
  const all = tasksOf(sourceOf({ blueprint, layout, importance, feedback }, []))
  return { notes: [...zeroNotes(layout, zeros), ...(calibration === undefined ? [] : shareNotes(calibration, all))] }
}

/** Copies a whole part to its places in the output. @param hash is fed with its bytes. @returns how many they are. */
async function copyPart(part: string, tasks: readonly QuantizeTask[], hash: Hash | undefined): Promise<number> {
  return withFile(part, 'r', async (from) => {
    let position = 0
    for (const { output, offset, length } of stretches(tasks)) {
      const bytes = Buffer.allocUnsafe(length)
      const present = await readFully(from, bytes, position)
      if (present !== length)
        throw new FormatError('INPUT_TRUNCATED', { file: part, wanted: position + length, present: position + present })
      hash?.update(bytes)
      await withFile(output, 'r+', (to) => writeFully(to, bytes, offset))
      position += length
    }
    return position
  })
}

/** Blocks of tasks that follow each other in one file. */
function* stretches(
  tasks: readonly QuantizeTask[],
): Generator<{ readonly output: string; readonly offset: number; readonly length: number }> {
  let last: { output: string; offset: number; length: number } | undefined
  for (const task of tasks) {
    const { output, offset } = task
    const length = writtenBytes(task)
    if (last?.output === output && last.offset + last.length === offset && last.length + length <= copiedBytes) {
      last.length += length
      continue
    }
    if (last !== undefined) yield last
    last = { output, offset, length }
  }
  if (last !== undefined) yield last
}
