import { FormatError } from '../../formats/format-error.js'
import { openCodec } from '../../formats/ggml/codec.js'
import { type GgmlTypeName, ggmlBytes } from '../../formats/ggml/types.js'
import { type GgufTensorInfo, layoutGguf } from '../../formats/gguf/index.js'
import type { Blueprint, BlueprintTensor } from '../blueprint.js'
import type { Plan } from '../plan.js'
import { withPlanMetadata } from '../plan-metadata.js'
import type { WithProgress } from '../progress.js'
import { rowLength } from '../recipe/index.js'
import { checkPlan } from './check-plan.js'
import { cutTensor, type Importance } from './cut.js'
import { isCopy, storesExactly } from './exact.js'
import { OrderedSums } from './ordered-sums.js'
import { beginOutput, inWords } from './output-file.js'
import { runTasks } from './pool.js'
import { type QuantizeTask, runElements } from './task.js'

export interface QuantizeOptions {
  readonly blueprint: Blueprint
  readonly plan: Plan
  /** The GGUF file to be. */
  readonly output: string
  /** Worker threads; by default one for each core. */
  readonly threads?: number
  /** What all rows under way may hold in memory together; by default 512 MiB. */
  readonly memoryBytes?: number
  readonly importance?: Importance
  /** Replaces a file that is there already. */
  readonly force?: boolean
  readonly signal?: AbortSignal
}

/** What became of a tensor. */
export interface QuantizedTensor {
  readonly name: string
  readonly type: GgmlTypeName
  /** Sum of (x - x')^2 over sum of x^2, over every weight; 0 where the type holds the source exactly. */
  readonly relativeError: number
  /** Cosine of the angle between the weights before and after. */
  readonly cosine: number
  /** Largest |x - x'|. */
  readonly maxError: number
  /** Time that worker threads spent on it, together. */
  readonly seconds: number
}

export interface QuantizeResult {
  readonly path: string
  /** Of the whole file. */
  readonly sizeBytes: number
  /** Of the tensors alone. */
  readonly dataBytes: number
  readonly bitsPerWeight: number
  readonly tensors: readonly QuantizedTensor[]
  readonly seconds: number
}

/** Values of a task: enough that handing it over costs nothing, few enough that many fit in memory. */
const taskElements = 2 ** 19

/**
 * Writes the GGUF file that a plan describes, in one pass: every range of rows is read, transformed, quantized and written at its known
 * place by a worker thread. The file has its name only when it is whole and on the disk; whatever goes wrong before removes it. Its bytes
 * depend on nothing but the source, the plan and the importance.
 * @throws MqError PLAN_MISMATCH, OUTPUT_EXISTS, FILE_UNWRITABLE, DISK_FULL, TENSOR_NOT_FINITE, TENSOR_OVERFLOW, IMPORTANCE_MISMATCH,
 *   INTERRUPTED; FormatError GGML_TYPE_UNKNOWN, GGUF_INVALID, INPUT_TRUNCATED.
 */
export async function* quantize(options: QuantizeOptions): WithProgress<QuantizeResult> {
  const { blueprint, output: path, force = false } = options
  const startedAt = performance.now()
  const plan = checkPlan(options.plan, blueprint)
  await checkKernels(blueprint, plan)
  const layout = layoutOf(blueprint, plan)
  const { header, fileBytes, dataOffset } = layout
  const works = new Map(
    blueprint.tensors.map((tensor, index) => [tensor.name, newWork(tensor, layout.tensors[index] as GgufTensorInfo)]),
  )
  const output = await beginOutput(path, { header, fileBytes, force, inputs: blueprint.files })
  let whole = false
  try {
    // A journal of finished ranges would be kept here, next to the partial file.
    const tasks = tasksOf(works.values(), output.partialPath, dataOffset, options.importance)
    const pool = runTasks(tasks, { ...options, setup: { files: blueprint.files }, what: path })
    let done = 0
    for await (const { task, sums, seconds } of pool) {
      const work = works.get(task.tensor) as TensorWork
      work.seconds += seconds
      for (const part of sums) work.sums.add(task.part, part)
      done += ggmlBytes(task.type, runElements(task.run))
      yield { stage: 'quantize', done, total: plan.dataBytes, unit: 'bytes', item: task.tensor }
    }
    await output.commit()
    whole = true
  } catch (error) {
    await output.discard()
    throw await inWords(error, path, fileBytes)
  } finally {
    // Also where the consumer of this stream stops listening.
    if (!whole) await output.discard()
  }
  return {
    path,
    sizeBytes: fileBytes,
    dataBytes: plan.dataBytes,
    bitsPerWeight: plan.bitsPerWeight,
    tensors: [...works.values()].map(resultOf),
    seconds: (performance.now() - startedAt) / 1000,
  }
}

/** Size of the file that a plan comes to, to the byte. */
export function plannedBytes(blueprint: Blueprint, plan: Plan): number {
  return layoutOf(blueprint, checkPlan(plan, blueprint)).fileBytes
}

function layoutOf(blueprint: Blueprint, plan: Plan): ReturnType<typeof layoutGguf> {
  return layoutGguf(
    withPlanMetadata(blueprint.metadata, plan.fileType),
    plan.tensors.map(({ name, shape, type }) => ({ name, type, dimensions: shape.toReversed() })),
  )
}

/** A tensor on its way into the file. */
interface TensorWork {
  readonly tensor: BlueprintTensor
  readonly info: GgufTensorInfo
  readonly sums: OrderedSums
  seconds: number
}

function newWork(tensor: BlueprintTensor, info: GgufTensorInfo): TensorWork {
  return { tensor, info, sums: new OrderedSums(), seconds: 0 }
}

function* tasksOf(
  works: Iterable<TensorWork>,
  output: string,
  dataOffset: number,
  importance: Importance | undefined,
): Generator<QuantizeTask> {
  for (const { tensor, info } of works) {
    const { name, type } = info
    const method = isCopy(tensor.recipe, type) ? 'copy' : storesExactly(type, tensor.recipe) ? 'exact' : 'measure'
    const rowBytes = ggmlBytes(type, rowLength(tensor))
    let part = 0
    for (const run of cutTensor(tensor, taskElements, importance)) {
      const offset = dataOffset + info.offset + run.tensorRow * rowBytes
      yield { kind: 'quantize', tensor: name, part, run, type, output, offset, method }
      part += 1
    }
  }
}

/** Refuses a type that no kernel writes, or reads from the source, before the first byte and not in the middle. */
async function checkKernels({ tensors }: Blueprint, plan: Plan): Promise<void> {
  const codec = await openCodec()
  tensors.forEach(({ recipe }, index) => {
    const type = plan.tensors[index]?.type as GgmlTypeName
    if (recipe.op === 'ggml' && !codec.canDequantize(recipe.type)) throw noKernel(recipe.type, 'dequantize')
    if (!isCopy(recipe, type) && !codec.canQuantize(type)) throw noKernel(type, 'quantize')
  })
}

function noKernel(type: GgmlTypeName, verb: string): FormatError {
  return new FormatError('GGML_TYPE_UNKNOWN', { type, where: `the kernels that ${verb}` })
}

function resultOf({ info: { name, type }, sums: { total }, seconds }: TensorWork): QuantizedTensor {
  if (total === undefined) return { name, type, relativeError: 0, cosine: 1, maxError: 0, seconds }
  const { squaredError, squaredNorm, storedNorm, dotProduct, maxError } = total
  return {
    name,
    type,
    relativeError: squaredNorm === 0 ? 0 : squaredError / squaredNorm,
    cosine: squaredNorm * storedNorm === 0 ? 1 : dotProduct / Math.sqrt(squaredNorm * storedNorm),
    maxError,
    seconds,
  }
}
