import type { Covariance } from '../../formats/ggml/feedback.js'
import type { Plan } from '../plan.js'
import { defaultDamping, heldOutBytes, heldOutRows, type KnownInputs } from './calibration.js'
import type { FeedbackMemory } from './memory.js'
import type { PoolOptions } from './pool.js'
import { makingBytes, preparedBytes } from './shelf.js'
import type { PreparedKey, WorkerTask } from './task.js'

/** How codes of a plan's tensors are chosen with what is known of their inputs. */
export interface Feedback {
  readonly calibration: KnownInputs
  /** By tensor; 0 for none. */
  readonly dampingOf: (tensor: string) => number
}

/** The feedback that a plan says. */
export function feedbackOf(calibration: KnownInputs, plan: Plan): Feedback {
  const dampings = new Map(plan.tensors.map(({ name, damping = defaultDamping }) => [name, damping]))
  return { calibration, dampingOf: (tensor) => dampings.get(tensor) ?? 0 }
}

/** What tasks need of covariances, in bytes. */
export interface NeedsMemory {
  readonly memory: FeedbackMemory
  /** About what it takes to make one. */
  readonly bytesOf: (key: PreparedKey) => number
}

const keptCovariances = 2

/** A calibration that keeps the last covariances, since several things are made of one. */
export function keepingLast(calibration: KnownInputs): KnownInputs {
  const last = new Map<string, Promise<Covariance>>()
  return {
    digest: calibration.digest,
    importance: calibration.importance,
    inputOf: (tensor, matrix) => calibration.inputOf(tensor, matrix),
    heldOut: (input) => calibration.heldOut(input),
    covariance(input) {
      const found = last.get(input) ?? calibration.covariance(input)
      last.delete(input)
      last.set(input, found)
      for (const other of last.keys()) if (last.size > keptCovariances) last.delete(other)
      return found
    },
  }
}

/** What a pool reads of a calibration. */
export function inputsOf(calibration: KnownInputs, { bytesOf }: NeedsMemory): NonNullable<PoolOptions['inputs']> {
  return {
    bytesOf,
    async covariance({ input, form, columns }) {
      if (form !== 'held-out') return await calibration.covariance(input)
      const rows = await heldOutRows(calibration, input, columns)
      const scale = 1 / Math.sqrt(Math.max(1, rows.length / columns))
      return { diagonal: new Float32Array(columns), factors: rows.map((value) => scale * value) }
    },
  }
}

/** Working memory of the kernels for each column, where the state is low; where it is the row's length, as much again. */
const workBytesEach = 2 * 96

/** Looks at one covariance of each width: those of one width are taken to be known equally well. */
export async function memoryOfNeeds(calibration: KnownInputs, tasks: Iterable<WorkerTask>): Promise<NeedsMemory> {
  const making = new Map<number, number>()
  const bytesOf = ({ form, columns }: PreparedKey): number => (form === 'held-out' ? heldOutBytes : (making.get(columns) ?? 0))
  let threadBytes = 0
  let sharedBytes = 0
  for (const { needs = [] } of tasks) {
    for (const { input, columns } of needs) {
      if (making.has(columns)) continue
      const covariance = await calibration.covariance(input)
      making.set(columns, makingBytes(covariance, columns))
      threadBytes = Math.max(threadBytes, preparedBytes(covariance, columns) + workBytesEach * columns)
    }
    sharedBytes = Math.max(
      sharedBytes,
      needs.reduce((sum, key) => sum + bytesOf(key), 0),
    )
  }
  return { memory: { threadBytes, sharedBytes }, bytesOf }
}
