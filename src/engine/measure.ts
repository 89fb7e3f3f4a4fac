import type { GgmlTypeName } from '../../formats/ggml/types.js'
import type { Blueprint, BlueprintTensor } from '../model/index.js'
import type { WithProgress } from '../progress/index.js'
import { rowLength } from '../recipe/index.js'
import { addErrorSums, type ErrorSums } from './error-sums.js'
import { inputsOf, memoryOfNeeds } from './feedback.js'
import { defaultDamping, type InputCovariances, needsOf } from './input-covariances.js'
import { memoryShare, taskBytes } from './memory.js'
import { type Columns, type Importance, sampleTensor } from './row-ranges.js'
import { runTasks } from './run-tasks.js'
import { type MeasureTask, type RowRun, runElements } from './task.js'

/** Quantization errors of a tensor in a type, on sampled rows. */
export interface QuantizationError {
  /** Sum of w (x - x')^2 over sum of w x^2; 0 where the sample is all zeros. w is the column's importance, or 1. */
  readonly relativeError: number
  /** Mean of w (x - x')^2. */
  readonly errorPerWeight: number
  /**
   * Output error tr(E H E^T) / tr(W H W^T), with the input covariance H and codes chosen as in quantization; absent where H is not known.
   */
  readonly outputError?: number
  /** Power of the outputs, tr(W H W^T), over the weights: times those of a matrix, the mean of |W x|^2. The same for every type. */
  readonly outputPower?: number
  /** Mean of w x^2: the same for every type. */
  readonly meanSquare: number
}

/** A tensor and the types to measure it in. */
export interface MeasureRequest {
  readonly tensor: string
  /** Types whose blocks fit the tensor's rows. */
  readonly types: readonly GgmlTypeName[]
  /**
   * Rows to sample over all experts; by default some 256 Ki weights' worth and at least one row of each expert, or of a tensor whose input
   * is known at most 192 rows of four experts.
   */
  readonly rows?: number
}

/** What to measure, and the threads, memory and calibration to use. */
export interface MeasureOptions {
  readonly blueprint: Blueprint
  readonly requests: readonly MeasureRequest[]
  /** Worker threads; by default one for each core. */
  readonly threads?: number
  /** Memory limit of the whole process, in bytes: see memory.ts. */
  readonly memoryBytes?: number
  readonly importance?: Importance
  /** Input covariances, for output errors and error feedback; its importance matrix is used where none is given. */
  readonly calibration?: InputCovariances
  readonly signal?: AbortSignal
}

/** Tensor name -> type -> errors, for every requested pair, in the order of the requests. */
export type Measurements = Map<string, Map<GgmlTypeName, QuantizationError>>

const sampleElements = 2 ** 18
/** Rows to sample of a tensor with an input covariance: output errors vary little from row to row. */
const sampledRows = 192
/** Experts to sample where each has an input covariance of its own: preparing one costs as much as many rows. */
const sampledInputs = 4
/** Values of a task: small enough that many types on one task do not leave the other threads idle. */
const taskElements = 2 ** 17

/**
 * Measures quantization errors of candidate types on sampled rows of each tensor: short runs evenly spaced over all experts. Only these rows are
 * read. The same model, requests and importance or calibration give the same figures, whatever the threads.
 * @throws MqError TENSOR_NOT_FINITE, IMPORTANCE_MISMATCH, INTERRUPTED; FormatError GGML_ROW_MISALIGNED, GGML_TYPE_UNKNOWN.
 */
export async function* measure(options: MeasureOptions): WithProgress<Measurements> {
  const { blueprint, requests, calibration } = options
  const byName = new Map(blueprint.tensors.map((tensor) => [tensor.name, tensor]))
  const importance = options.importance ?? calibration?.importance
  const known = { importance, inputOf: calibration && ((tensor: string, matrix: number) => calibration.inputOf(tensor, matrix)) }
  const parts = requests.flatMap((request) => {
    const tensor = byName.get(request.tensor)
    if (tensor === undefined) throw new RangeError(`no tensor ${request.tensor} to measure`)
    return tasksOf(tensor, request, known, calibration)
  })
  const total = parts.reduce((sum, task) => sum + workOf(task), 0)
  const sums = new Map<MeasureTask, readonly ErrorSums[]>()
  const needs = calibration && memoryOfNeeds(calibration, parts)
  const { taskBytes: memoryBytes, ...share } = memoryShare(
    options.memoryBytes,
    options.threads,
    Math.max(0, ...parts.map(taskBytes)),
    needs?.memory,
  )
  const setup = { files: blueprint.files }
  const inputs = needs && inputsOf(calibration, needs)
  const given = { setup, ...share, memoryBytes, inputs, signal: options.signal }
  const pool = runTasks(parts, { ...given, what: 'the measurement' })
  let done = 0
  for await (const finished of pool) {
    sums.set(finished.task, finished.sums)
    done += workOf(finished.task)
    yield { stage: 'measure', done, total, unit: 'bytes', item: finished.task.tensor }
  }
  return gather(parts, sums)
}

function tasksOf(
  tensor: BlueprintTensor,
  { types, rows }: MeasureRequest,
  known: Columns,
  calibration: InputCovariances | undefined,
): MeasureTask[] {
  const most = Math.ceil(sampleElements / rowLength(tensor))
  const runs =
    calibration?.inputOf(tensor.name, 0) === undefined
      ? sampleTensor(tensor, rows ?? Math.max(most, tensor.shape.length > 2 ? (tensor.shape[0] ?? 1) : 1), known)
      : sampleTensor(tensor, rows ?? Math.min(most, sampledRows), known, { maxMatrices: sampledInputs, runRows: 16 })
  const groups: RowRun[][] = []
  let elements = Number.POSITIVE_INFINITY
  for (const run of runs) {
    if (elements + runElements(run) > taskElements || run.input !== groups.at(-1)?.at(-1)?.input) {
      groups.push([])
      elements = 0
    }
    groups.at(-1)?.push(run)
    elements += runElements(run)
  }
  return groups.map((group) => {
    const needs = needsOf(group[0] as RowRun, types, defaultDamping)
    return { kind: 'measure', tensor: tensor.name, runs: group, types, needs }
  })
}

/** Bytes of f32 quantized, once for each type: what progress counts. */
function workOf({ runs, types }: MeasureTask): number {
  return runs.reduce((sum, run) => sum + 4 * runElements(run), 0) * types.length
}

/** Adds partial sums in the order of the tasks, not of completion, so that the results are reproducible. */
function gather(tasks: readonly MeasureTask[], sums: ReadonlyMap<MeasureTask, readonly ErrorSums[]>): Measurements {
  const totals = new Map<string, Map<GgmlTypeName, ErrorSums>>()
  for (const task of tasks) {
    const ofTensor = totals.get(task.tensor) ?? new Map<GgmlTypeName, ErrorSums>()
    totals.set(task.tensor, ofTensor)
    sums.get(task)?.forEach((part, index) => {
      const type = task.types[index] as GgmlTypeName
      const before = ofTensor.get(type)
      ofTensor.set(type, before === undefined ? part : addErrorSums(before, part))
    })
  }
  return new Map(
    [...totals].map(([tensor, types]) => [
      tensor,
      new Map([...types].map(([type, total]) => [type, quantizationErrorOf(total)])),
    ]),
  )
}

function quantizationErrorOf({
  count,
  weightedError: squaredError,
  weightedNorm: squaredNorm,
  outputError,
  outputNorm,
}: ErrorSums): QuantizationError {
  // Values too large for the type are stored as infinity.
  const error = Number.isFinite(squaredError) ? squaredError : Number.POSITIVE_INFINITY
  return {
    relativeError: squaredError === 0 ? 0 : error / squaredNorm,
    errorPerWeight: error / count,
    meanSquare: squaredNorm / count,
    ...(outputNorm === 0
      ? {}
      : {
          outputError: Number.isFinite(outputError) ? outputError / outputNorm : Number.POSITIVE_INFINITY,
          outputPower: outputNorm / count,
        }),
  }
}
