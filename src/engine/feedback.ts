import { keyText } from './executor.js'
import { defaultDamping, heldOutRows, type InputCovariances } from './input-covariances.js'
import type { FeedbackMemory } from './memory.js'
import { preparationBytes, threadBytes } from './prepared-bytes.js'
import { originOf } from './prepared-cache.js'
import type { RunOptions } from './run-tasks.js'
import type { PreparedKey, WorkerTask } from './task.js'

/** Error feedback of a plan: covariances, and the damping of each tensor. */
export interface Feedback {
  readonly calibration: InputCovariances
  /** Damping by tensor; 0 for no feedback. */
  readonly dampingOf: (tensor: string) => number
}

/** The error feedback of a plan; the default damping for tensors that have none. */
export function feedbackOf(calibration: InputCovariances, plan: { readonly tensors: readonly DampedTensor[] }): Feedback {
  const dampings = new Map(plan.tensors.map(({ name, damping = defaultDamping }) => [name, damping]))
  return { calibration, dampingOf: (tensor) => dampings.get(tensor) ?? 0 }
}

interface DampedTensor {
  readonly name: string
  /** Relative to the covariance's mean diagonal; 0 for no feedback. */
  readonly damping?: number
}

/** Memory that tasks need for prepared covariances, in bytes. */
export interface NeedsMemory {
  readonly memory: FeedbackMemory
  /** Estimated bytes to prepare one. */
  readonly bytesOf: (key: PreparedKey) => number
}

/** The part of a calibration that running tasks needs. */
export function inputsOf(calibration: InputCovariances, { bytesOf }: NeedsMemory): NonNullable<RunOptions['inputs']> {
  return {
    digest: calibration.digest,
    bytesOf,
    async source({ input, form, columns }) {
      if (form !== 'held-out') return await calibration.source(input)
      const rows = await heldOutRows(calibration, input, columns)
      const scale = 1 / Math.sqrt(Math.max(1, rows.length / columns))
      const factors = rows.map((value) => scale * value)
      return { kind: 'known', covariance: { diagonal: new Float32Array(columns), factors } }
    },
  }
}

/** Memory for prepared data in each thread, and the largest of a task. */
export function memoryOfNeeds(calibration: InputCovariances, tasks: Iterable<Pick<WorkerTask, 'needs'>>): NeedsMemory {
  const bytesOf = (key: PreparedKey): number => preparationBytes(key, calibration.rankOf(key.input))
  const memory = { threadBytes: 0, sharedBytes: 0 }
  const seen = new Set<string>()
  for (const { needs = [] } of tasks) {
    const ranks = needs.map(({ input, columns, form }) => `${form} ${columns} ${calibration.rankOf(input)}`).join()
    if (seen.has(ranks)) continue
    seen.add(ranks)
    for (const { input, columns } of needs) {
      memory.threadBytes = Math.max(memory.threadBytes, threadBytes(columns, calibration.rankOf(input)))
    }
    const origins = new Map(needs.flatMap((key) => originOf(key) ?? []).map((key) => [keyText(key), key]))
    const sharedBytes = [...needs, ...origins.values()].reduce((sum, key) => sum + bytesOf(key), 0)
    memory.sharedBytes = Math.max(memory.sharedBytes, sharedBytes)
  }
  return { memory, bytesOf }
}
