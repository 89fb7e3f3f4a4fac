import { FormatError } from '../../formats/format-error.js'
import { kernelTypes } from '../../formats/ggml/codec.js'
import { type Effort, efforts } from '../../formats/ggml/effort.js'
import type { GgmlTypeName } from '../../formats/ggml/types.js'
import { embeddingCovariances } from '../calibration/index.js'
import {
  type Feedback,
  feedbackOf,
  type Importance,
  type InputCovariances,
  isCopy,
  type MemoryShare,
  memoryOfNeeds,
  memoryShare,
  type NeedsMemory,
  type QuantizeTask,
  runElements,
  taskBytes,
  type WorkerTask,
} from '../engine/index.js'
import { MqError } from '../errors/index.js'
import { checkTarget, type HeldLock, lockName, sharedLock, writingError } from '../files/index.js'
import type { Blueprint, RemoteShards } from '../model/index.js'
import { checkPlan, inputsOfPlan, layoutOutput, modelOfPlan, type OutputLayout, type Plan } from '../plan/index.js'
import type { WithProgress } from '../progress/index.js'
import { sourceOf, writeOutput } from './output/write-output.js'
import { tasksOf } from './tasks.js'
import type { QuantizedTensor } from './tensor-statistics.js'

/** What is quantized, by which plan, and where the file goes. */
export interface QuantizeOptions {
  readonly blueprint: Blueprint
  readonly plan: Plan
  /** The GGUF file to write; shards are named after it. */
  readonly output: string
  /** Maximum bytes of tensor data in one file; larger outputs are split into shards. */
  readonly splitMaxBytes?: number
  /** Worker threads; by default one for each core. */
  readonly threads?: number
  /** Memory limit of the whole process, in bytes: see src/engine/memory.ts. */
  readonly memoryBytes?: number
  readonly importance?: Importance
  /**
   * Input covariances for error feedback; its importance matrix is used where none is given. By default those that follow from the weights:
   * of the token embedding, unless every damping of the plan is 0.
   */
  readonly calibration?: InputCovariances
  /** Search effort of the encoders, by default `default`. The plan does not depend on it. */
  readonly effort?: Effort
  /** Overwrites an existing file. */
  readonly force?: boolean
  /** Discards the partial output of an earlier run instead of resuming it. */
  readonly fresh?: boolean
  /** Weight files that come from a hub one by one, those of `blueprint.contents`: at most two are on the disk, or what one tensor needs. */
  readonly shards?: RemoteShards
  readonly signal?: AbortSignal
}

/** What was written. */
export interface QuantizeResult {
  /** The file, or the first of its shards: what other commands take. */
  readonly path: string
  /** All files. */
  readonly files: readonly string[]
  /** Of all files. */
  readonly sizeBytes: number
  /** Of the tensors alone. */
  readonly dataBytes: number
  readonly bitsPerWeight: number
  readonly tensors: readonly QuantizedTensor[]
  /** Bytes of the tensors that an earlier run had written. */
  readonly resumedBytes: number
  readonly notes: readonly string[]
  readonly seconds: number
}

/**
 * Writes the GGUF file, or shards, that a plan describes, in one pass: every range of rows is read, transformed, quantized and written
 * at its known place by a worker thread. Files have their names only when all are whole and on the disk. A journal beside them says
 * which ranges are done, so that the same call after a kill, an interruption or a full disk does only what is missing; any other error
 * removes what was written. The bytes depend on nothing but the source, the plan, the importance and the effort.
 * @throws MqError OPTION_INVALID, PLAN_MISMATCH, OUTPUT_EXISTS, OUTPUT_BUSY, FILE_UNWRITABLE, DISK_FULL, MEMORY_TOO_SMALL, TENSOR_NOT_FINITE,
 *   TENSOR_OVERFLOW, IMPORTANCE_MISMATCH, INTERRUPTED; FormatError GGML_TYPE_UNKNOWN, GGUF_INVALID, INPUT_TRUNCATED.
 */
export async function* quantize(options: QuantizeOptions): WithProgress<QuantizeResult> {
  const { output: path, force = false, fresh = false, signal } = options
  const startedAt = performance.now()
  const { effort, blueprint, plan, calibration, importance, layout, feedback, needs, share } = await settle(options)
  const source = { blueprint, layout, importance, feedback }
  if (signal?.aborted === true) throw MqError.of('INTERRUPTED', { what: path })
  const { dataBytes, bitsPerWeight } = plan
  const files = layout.parts.map((part) => part.path)
  const first = files[0] ?? path

  // The folder; whether a file may be replaced is asked with the lock held.
  await checkTarget(first, blueprint.files, true)
  const lock = await lockOutput(path, layout.sizeBytes)
  try {
    const written = yield* writeOutput({
      ...source,
      needs,
      dataBytes,
      path,
      lock,
      effort,
      force,
      fresh,
      signal,
      shards: options.shards,
      ...share,
    })
    const seconds = (performance.now() - startedAt) / 1000
    const notes = [...written.notes, ...(calibration === undefined ? [] : shareNotes(calibration, tasksOf(sourceOf(source, []))))]
    return { path: first, files, sizeBytes: layout.sizeBytes, dataBytes, bitsPerWeight, ...written, notes, seconds }
  } finally {
    await lock.release()
  }
}

/** What is settled before the first byte is written. */
export interface Settled {
  readonly effort: Effort
  /** As the plan has it. */
  readonly blueprint: Blueprint
  readonly plan: Plan
  readonly calibration: InputCovariances | undefined
  readonly importance: Importance | undefined
  readonly layout: OutputLayout
  readonly feedback: Feedback | undefined
  readonly needs: NeedsMemory | undefined
  readonly share: MemoryShare
}

/** Settles what an output is made of and with which means. @throws MqError as quantize does before it writes. */
export async function settle(options: Omit<QuantizeOptions, 'force' | 'fresh' | 'shards'>): Promise<Settled> {
  const { output: path, effort = 'default' } = options
  if (!efforts.includes(effort)) {
    throw MqError.of('OPTION_INVALID', {
      option: 'effort',
      value: effort,
      problem: `it is none of ${efforts.join(', ')}`,
    })
  }
  const blueprint = modelOfPlan(options.blueprint, options.plan)
  const inputs = inputsOfPlan(options, options.blueprint, blueprint)
  const plan = checkPlan(options.plan, blueprint)
  const usesFeedback = plan.tensors.some(({ damping }) => damping !== 0)
  const calibration = inputs.calibration ?? (usesFeedback ? embeddingCovariances(blueprint) : undefined)
  const { importance = calibration?.importance } = inputs
  await checkKernels(blueprint, plan)
  const layout = layoutOutput(blueprint, plan, path, options.splitMaxBytes)
  const feedback = calibration && feedbackOf(calibration, plan)
  const source = { blueprint, layout, importance, feedback }
  const needs = feedback && memoryOfNeeds(feedback.calibration, tasksOf(sourceOf(source, [])))
  const largest = largestTask(tasksOf(sourceOf(source, [])))
  const share = memoryShare(options.memoryBytes, options.threads, largest, needs?.memory)
  return { effort, blueprint, plan, calibration, importance, layout, feedback, needs, share }
}

/** Keeps other processes from writing the same output. @throws MqError OUTPUT_BUSY, FILE_UNWRITABLE, DISK_FULL. */
async function lockOutput(path: string, sizeBytes: number): Promise<HeldLock> {
  const lock = lockName(path)
  const held = await sharedLock(lock)().catch(async (error: unknown) => {
    throw await writingError(error, path, sizeBytes, new Set([lock]))
  })
  if (held === undefined) throw MqError.of('OUTPUT_BUSY', { path, lock })
  return held
}

/** A note with the share of weights that error feedback was used for. */
export function shareNotes({ fromWeights }: InputCovariances, tasks: Iterable<QuantizeTask>): string[] {
  let all = 0
  let fed = 0
  for (const { run, needs = [] } of tasks) {
    all += runElements(run)
    if (needs.some(({ damping }) => damping > 0)) fed += runElements(run)
  }
  if (fed === 0 && fromWeights === true) return []
  return [`Error feedback was used for ${((100 * fed) / all).toFixed(1)} % of the weights.`]
}

function largestTask(tasks: Iterable<WorkerTask>): number {
  let most = 0
  for (const task of tasks) most = Math.max(most, taskBytes(task))
  return most
}

/** Refuses types without a kernel to write or read them, before the first byte is written. */
async function checkKernels({ tensors }: Blueprint, plan: Plan): Promise<void> {
  const kernels = await kernelTypes()
  tensors.forEach(({ recipe }, index) => {
    const type = plan.tensors[index]?.type as GgmlTypeName
    if (recipe.op === 'ggml' && !kernels.canDequantize(recipe.type)) throw noKernel(recipe.type, 'dequantize')
    if (!isCopy(recipe, type) && !kernels.canQuantize(type)) throw noKernel(type, 'quantize')
  })
}

function noKernel(type: GgmlTypeName, verb: string): FormatError {
  return new FormatError('GGML_TYPE_UNKNOWN', { type, where: `the kernels that ${verb}` })
}
