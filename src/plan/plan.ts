import type { GgmlTypeName } from '../../formats/ggml/types.js'
import type { MergedAdapter, Smoothing, TensorRole, Widths } from '../model/index.js'
import type { PlanGoal } from './goal.js'

/** One tensor's line of a plan. */
export interface PlanTensor {
  readonly name: string
  readonly role: TensorRole
  readonly layer?: number
  /** Row-major, as in the blueprint. */
  readonly shape: readonly number[]
  /** Weights of the model among its elements, where zeros were added; all of them where it is absent. */
  readonly modelElements?: number
  readonly type: GgmlTypeName
  readonly sizeBytes: number
  /** Measured on sampled rows: sum of (w - w')^2 over sum of w^2 at `type`; absent for F32 and where nothing was measured. */
  readonly relativeError?: number
  /** Damping of error feedback, relative to the covariance's mean diagonal; 0 for no feedback. Absent without an input covariance. */
  readonly damping?: number
  /** Why this type: a sentence for the user. */
  readonly reason: string
}

/**
 * Which tensor gets which type. JSON that a user can read, edit, diff and run again.
 * Offsets and shards follow from it; recipes are rebuilt from the source and checked against names and shapes.
 */
export interface Plan {
  readonly version: 1
  readonly architecture: string
  /** The goal in words: see goalText. */
  readonly goal: string
  /** The same as data; absent from plans of older versions. */
  readonly request?: PlanGoal
  /** general.file_type: llama.cpp's number (enum llama_ftype) of the closest preset. */
  readonly fileType: number
  /** 8 * sum of sizeBytes / sum of elements; zeros that were added do not count. */
  readonly bitsPerWeight: number
  /** Widths to which the model is widened with zeros: see widen. */
  readonly widths?: Widths
  /** Smoothing scales: see smooth. */
  readonly smoothing?: Smoothing
  /** Sum of the tensors' sizes, without header and padding. */
  readonly dataBytes: number
  /** Adapters of the model that the plan is for; absent where it has none. */
  readonly adapters?: readonly MergedAdapter[]
  /** Digest of the calibration that dampings were chosen with. */
  readonly calibration?: string
  /** Expected KL divergence under a budget, up to a constant factor; not in the file. */
  readonly estimatedLoss?: number
  readonly tensors: readonly PlanTensor[]
  readonly notes: readonly string[]
}
