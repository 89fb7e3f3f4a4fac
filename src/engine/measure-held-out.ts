import { feedbackLayout } from '../../formats/ggml/feedback-forms.js'
import type { GgmlTypeName } from '../../formats/ggml/types.js'
import type { Blueprint } from '../model/index.js'
import type { WithProgress } from '../progress/index.js'
import { rowLength } from '../recipe/index.js'
import type { ErrorSums } from './error-sums.js'
import { inputsOf, memoryOfNeeds } from './feedback.js'
import type { InputCovariances } from './input-covariances.js'
import { memoryShare, taskBytes } from './memory.js'
import { sampleMatrixOf } from './row-ranges.js'
import { runTasks } from './run-tasks.js'
import type { MeasureTask, PreparedKey } from './task.js'

/** A matrix to quantize with several dampings. */
export interface HeldOutRequest {
  /** Errors are summed by group. */
  readonly group: string
  readonly tensor: string
  readonly matrix: number
  readonly type: GgmlTypeName
  /** 0 means no error feedback. */
  readonly dampings: readonly number[]
}

/** What to measure on held-out rows, and the threads, memory and calibration to use. */
export interface HeldOutOptions {
  readonly blueprint: Blueprint
  readonly requests: readonly HeldOutRequest[]
  readonly calibration: InputCovariances
  readonly threads?: number
  readonly memoryBytes?: number
  readonly signal?: AbortSignal
}

const sampledRows = 64

/**
 * Measures output errors of sampled weight rows on held-out activations: group -> damping -> relative error, summed over the group's matrices. The
 * same for any number of threads.
 * @throws as `measure`.
 */
export async function* measureHeldOut(options: HeldOutOptions): WithProgress<Map<string, Map<number, number>>> {
  const { blueprint, requests, calibration } = options
  const tensors = new Map(blueprint.tensors.map((tensor) => [tensor.name, tensor]))
  // Requests with the same input are adjacent, since they share prepared data.
  const inputName = ({ tensor, matrix }: HeldOutRequest): string => calibration.inputOf(tensor, matrix) ?? ''
  const together = requests.toSorted((a, b) => (inputName(a) < inputName(b) ? -1 : inputName(a) > inputName(b) ? 1 : 0))
  const trials = together.flatMap(({ group, tensor: name, matrix, type, dampings }) => {
    const tensor = tensors.get(name)
    const input = calibration.inputOf(name, matrix)
    const form = feedbackLayout(type)
    if (tensor === undefined || input === undefined || form === undefined) throw new RangeError(`nothing is known of ${name}`)
    const columns = rowLength(tensor)
    const runs = sampleMatrixOf(tensor, matrix, sampledRows, {
      importance: calibration.importance,
      inputOf: (other, index) => calibration.inputOf(other, index),
    })
    return dampings.map((damping) => {
      const factor: PreparedKey[] = damping === 0 ? [] : [{ input, form, damping, columns }]
      const needs: PreparedKey[] = [...factor, { input, form: 'held-out', damping: 0, columns }]
      return { group, damping, task: { kind: 'measure', tensor: name, runs, types: [type], needs } satisfies MeasureTask }
    })
  })
  const tasks = trials.map(({ task }) => task)
  const needs = memoryOfNeeds(calibration, tasks)
  const largest = Math.max(0, ...tasks.map(taskBytes))
  const { taskBytes: memoryBytes, ...share } = memoryShare(options.memoryBytes, options.threads, largest, needs.memory)
  const given = { setup: { files: blueprint.files }, ...share, memoryBytes, inputs: inputsOf(calibration, needs) }
  const signal = options.signal && { signal: options.signal }
  const found = new Map<MeasureTask, ErrorSums>()
  for await (const { task, sums } of runTasks(tasks, { ...given, ...signal, what: 'the choice of damping' })) {
    found.set(task, (sums as [ErrorSums])[0])
    yield { stage: 'damping', done: found.size, total: tasks.length, unit: 'tensors', item: task.tensor }
  }
  const errors = new Map<string, Map<number, number>>()
  for (const { group, damping, task } of trials) {
    const { outputError, outputNorm } = found.get(task) as ErrorSums
    const ofGroup = errors.get(group) ?? new Map<number, number>()
    errors.set(group, ofGroup.set(damping, (ofGroup.get(damping) ?? 0) + (outputNorm === 0 ? 0 : outputError / outputNorm)))
  }
  return errors
}
