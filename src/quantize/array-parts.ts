import { rename, rm, stat } from 'node:fs/promises'
import * as v from 'valibot'
import { runElements } from '../engine/index.js'
import { MqError } from '../errors/index.js'
import { checkTarget, hashFile, lockName, partialName, readWhole, sharedLock, withFile, writeWhole } from '../files/index.js'
import type { WithProgress } from '../progress/index.js'
import { identityOf } from './output/identity.js'
import { sourceOf } from './output/write-output.js'
import { assembleRanges, type OutputRange, quantizeRange } from './parts.js'
import { type QuantizeOptions, type Settled, settle } from './quantize.js'
import { taskElements, tasksOf } from './tasks.js'

/** One of several parts that an output is made in, by tasks that know nothing of each other, such as those of a Slurm array. */
export interface ArrayPart {
  /** From 1 on. */
  readonly number: number
  /** How many there are. */
  readonly of: number
}

/** What quantizePart has made. */
export interface WrittenPart extends ArrayPart {
  readonly path: string
  readonly sizeBytes: number
  /** Whether an earlier run had made it. */
  readonly known: boolean
}

const recordSchema = v.object({
  version: v.literal(1),
  /** Of all that the bytes of the whole output depend on. */
  identity: v.string(),
  first: v.number(),
  end: v.number(),
  sizeBytes: v.number(),
  sha256: v.string(),
})
type PartRecord = v.InferOutput<typeof recordSchema>
const mostRecordBytes = 2 ** 16

/** Where a part is until the output is put together, beside it; what it holds is said in a file of that name with `.json`. */
export function partPath(output: string, { number, of }: ArrayPart): string {
  return `${output}.part-${number}-of-${of}`
}

/**
 * Quantizes one part of an output: about 1/N of its weights, consecutive in the file. A part that is there already, of the same plan, source
 * and calibration, is left as it is.
 * @param options of the whole output; `fresh` makes a part again.
 * @throws MqError OUTPUT_BUSY, and as quantize does.
 */
export async function* quantizePart(options: QuantizeOptions, part: ArrayPart): WithProgress<WrittenPart> {
  const { output, fresh = false } = options
  const path = partPath(output, part)
  const { identity, ranges } = await describe(options, part.of)
  const range = ranges[part.number - 1] as OutputRange
  await checkTarget(path, options.blueprint.files, true)
  const lock = await sharedLock(lockName(path))()
  if (lock === undefined) throw MqError.of('OUTPUT_BUSY', { path, lock: lockName(path) })
  try {
    const known = fresh ? undefined : await readRecord(path)
    if (known !== undefined && known.identity === identity && (await sizeOf(path)) === known.sizeBytes) {
      return { ...part, path, sizeBytes: known.sizeBytes, known: true }
    }
    await rm(`${path}.json`, { force: true })
    const partial = partialName(path)
    try {
      yield* quantizeRange(options, range, partial)
      await withFile(partial, 'r+', (file) => file.sync())
      await rename(partial, path)
    } catch (error) {
      await rm(partial, { force: true })
      throw error
    }
    const made = await hashFile(path, options.signal)
    await writeWhole(`${path}.json`, `${JSON.stringify({ version: 1, identity, ...range, ...made } satisfies PartRecord)}\n`)
    return { ...part, path, sizeBytes: made.sizeBytes, known: false }
  } finally {
    await lock.release()
  }
}

/** What assembleParts has made. */
export interface AssembledParts {
  /** The file, or the first of its shards. */
  readonly path: string
  readonly files: readonly string[]
  readonly sizeBytes: number
  readonly notes: readonly string[]
  readonly seconds: number
}

/**
 * Puts an output together from all of its parts, each read once and checked against its digest, and removes them: the bytes of quantize.
 * @param options those that the parts were made with. @param of how many there are.
 * @throws MqError PARTS_UNUSABLE with all parts that are missing, were made with other options or have changed; OUTPUT_EXISTS, DISK_FULL,
 *   FILE_UNWRITABLE, OUTPUT_BUSY, INTERRUPTED.
 */
export async function* assembleParts(options: QuantizeOptions, of: number): WithProgress<AssembledParts> {
  const { output, signal } = options
  const startedAt = performance.now()
  const { identity, ranges, layout } = await describe(options, of)
  const lock = await sharedLock(lockName(output))()
  if (lock === undefined) throw MqError.of('OUTPUT_BUSY', { path: output, lock: lockName(output) })
  try {
    const parts = ranges.map((range, index) => ({
      ...range,
      number: index + 1,
      path: partPath(output, { number: index + 1, of }),
    }))
    const problems = new Map<string, number[]>()
    const expected: string[] = []
    for (const { number, path } of parts) {
      const found = await checkRecord(path, identity)
      if ('problem' in found) addTo(problems, found.problem, number)
      else expected[number - 1] = found.sha256
    }
    if (problems.size > 0) {
      // Of the others, too, is told which cannot be used.
      for (const [index, sha256] of expected.entries()) {
        yield { stage: 'check', done: index, total: of, unit: 'files' }
        const { path = '' } = parts[index] ?? {}
        if (sha256 !== undefined && (await hashFile(path, signal)).sha256 !== sha256) addTo(problems, changedProblem, index + 1)
      }
      throw unusable(output, of, problems)
    }
    const refuse = (changed: readonly number[]): MqError =>
      unusable(output, of, new Map([[changedProblem, changed.map((index) => index + 1)]]))
    const { notes } = yield* assembleRanges(options, parts, { expected, refuse })
    for (const { path } of parts) for (const name of [path, `${path}.json`]) await rm(name, { force: true })
    const files = layout.parts.map(({ path }) => path)
    const seconds = (performance.now() - startedAt) / 1000
    return { path: files[0] ?? output, files, sizeBytes: layout.sizeBytes, notes, seconds }
  } finally {
    await lock.release()
  }
}

async function describe(
  options: QuantizeOptions,
  of: number,
): Promise<Pick<Settled, 'layout'> & { readonly identity: string; readonly ranges: readonly OutputRange[] }> {
  const { effort, blueprint, importance, layout, feedback } = await settle(options)
  const identity = await identityOf(blueprint, layout, { importance, feedback, effort, taskElements, isPortable: true })
  const weights: number[] = []
  for (const { run } of tasksOf(sourceOf({ blueprint, layout, importance, feedback }, []))) weights.push(runElements(run))
  return { identity, layout, ranges: evenRanges(weights, of) }
}

/** Consecutive ranges of about equal sums: a task belongs to the range that its middle falls into. */
export function evenRanges(weights: readonly number[], of: number): OutputRange[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  const ends = Array.from({ length: of }, () => 0)
  let before = 0
  for (const [index, weight] of weights.entries()) {
    const range = Math.min(of - 1, Math.floor(((before + weight / 2) * of) / total))
    ends[range] = index + 1
    before += weight
  }
  let first = 0
  return ends.map((last) => {
    const range = { first, end: Math.max(first, last) }
    first = range.end
    return range
  })
}

const changedProblem = 'changed since written'

/** @returns the digest that a part must have, or why it cannot be used. */
async function checkRecord(path: string, identity: string): Promise<{ readonly sha256: string } | { readonly problem: string }> {
  const record = await readRecord(path)
  const size = await sizeOf(path)
  if (record === undefined || size === undefined) return { problem: 'not there, or not whole' }
  if (record.identity !== identity) return { problem: 'of another plan, source, calibration or version of mq' }
  return size === record.sizeBytes ? { sha256: record.sha256 } : { problem: changedProblem }
}

function addTo(problems: Map<string, number[]>, problem: string, part: number): void {
  problems.set(problem, [...(problems.get(problem) ?? []), part])
}

function unusable(path: string, of: number, problems: ReadonlyMap<string, readonly number[]>): MqError {
  const sorted = [...problems].toSorted(([, [a = 0]], [, [b = 0]]) => a - b)
  const problem = sorted.map(([what, numbers]) => `${numbers.join(', ')} ${what}`).join('; ')
  return MqError.of('PARTS_UNUSABLE', { path, of, problem, first: sorted[0]?.[1][0] ?? 1 })
}

async function readRecord(path: string): Promise<PartRecord | undefined> {
  try {
    return v.parse(recordSchema, JSON.parse(await readWhole(`${path}.json`, mostRecordBytes)))
  } catch {
    return undefined
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ size }) => size,
    () => undefined,
  )
}
