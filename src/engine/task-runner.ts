import { crc32 } from 'node:zlib'
import { type Codec, openCodec } from '../../formats/ggml/codec.js'
import type { Covariance } from '../../formats/ggml/covariance.js'
import type { Effort } from '../../formats/ggml/effort.js'
import { kernelEliminations } from '../../formats/ggml/elimination.js'
import { prepareFeedback } from '../../formats/ggml/feedback.js'
import { feedbackLayout } from '../../formats/ggml/feedback-forms.js'
import { type OutputForm, prepareOutputs } from '../../formats/ggml/output-error.js'
import { type GgmlTypeName, ggmlBytes, ggmlType } from '../../formats/ggml/types.js'
import { covarianceFrom } from '../covariance/index.js'
import { MqError } from '../errors/index.js'
import { blocksOf, evaluateRows, newStatistics, rowLength, type Statistics } from '../recipe/index.js'
import { type BufferPool, newBufferPool } from './buffer-pool.js'
import { addErrorSums, clippedCount, type ErrorSums, errorSums, noErrorSums, noOutputs } from './error-sums.js'
import { contentKey } from './executor.js'
import { failureOf } from './failure.js'
import { newOpenFiles, type OpenFiles } from './file-access.js'
import { sampleRows } from './sample-rows.js'
import type {
  MeasureTask,
  Prepared,
  PrepareReply,
  PrepareTask,
  QuantizeTask,
  RowRun,
  WorkerMessage,
  WorkerReply,
  WorkerSetup,
} from './task.js'

/** No type stores smaller values as infinity: F16 scales and values overflow far above. */
const safeMagnitude = 4096

/** Runs tasks in the thread that created it, with a codec and open files of its own. */
export interface TaskRunner {
  /**
   * Runs one task. Several may run at once: while one computes, the system reads for the next and writes for the last. Expected errors are
   * returned, not thrown: an error that crosses from a worker thread loses its class and code.
   */
  run(message: WorkerMessage): Promise<WorkerReply | PrepareReply>
  /** Closes the files. No task may be running. */
  close(): void
}

/** Codec, files and caches of a runner. */
interface Resources {
  readonly codec: Codec
  readonly files: OpenFiles
  readonly statistics: Statistics
  readonly calibration: string
  readonly effort: Effort | undefined
}

/** A runner for the tasks of a setup. */
export async function newTaskRunner({ files: paths, calibration = '', effort }: WorkerSetup): Promise<TaskRunner> {
  const resources: Resources = {
    codec: await openCodec(),
    files: newOpenFiles(paths),
    statistics: newStatistics(),
    calibration,
    effort,
  }
  const pools: BufferPool[] = []
  return {
    async run(message) {
      const buffers = pools.pop() ?? newBufferPool()
      try {
        switch (message.kind) {
          case 'prepare':
            return { ok: true, prepared: await prepare(message, resources, buffers) }
          case 'quantize':
            return await quantize(message, message.prepared, resources, buffers)
          case 'measure':
            return await measure(message, message.prepared, resources, buffers)
        }
      } catch (error) {
        return { ok: false, failure: failureOf(error) }
      } finally {
        buffers.reset()
        pools.push(buffers)
      }
    },
    close: () => resources.files.close(),
  }
}

/** Computes prepared data. @returns data in memory that all threads share. */
async function prepare({ key, source }: PrepareTask, resources: Resources, buffers: BufferPool): Promise<Prepared> {
  const { calibration } = resources
  const { form, damping } = key
  const covariance = await covarianceFrom(source, async (recipe, start, end) => {
    const rows = await rowsOf({ recipe, start, end }, resources, buffers)
    const own = rows.slice()
    buffers.reset()
    return own
  })
  const floats = (length: number): Float32Array => new Float32Array(new SharedArrayBuffer(4 * length))
  const name = contentKey(calibration, key)
  if (form === 'covariance') return { covariance: sharedCovariance(covariance) }
  if (form === 'outputs' || form === 'held-out') return { ...prepareOutputs(covariance, floats), name }
  const factor = prepareFeedback(covariance, damping, [form], await kernelEliminations())
  const tables = Object.entries(factor.tables).map(([layout, table]) => {
    const bytes = new Uint8Array(new SharedArrayBuffer(table.byteLength))
    bytes.set(table)
    return [layout, bytes] as const
  })
  return { ...factor, tables: Object.fromEntries(tables), name }
}

function sharedCovariance(covariance: Covariance): Covariance {
  const shared = (values: Float32Array | Float64Array): Float64Array => {
    const copy = new Float64Array(new SharedArrayBuffer(8 * values.length))
    copy.set(values)
    return copy
  }
  if ('full' in covariance) return { full: shared(covariance.full) }
  const { diagonal, factors } = covariance
  return { diagonal: shared(diagonal), factors: factors === undefined ? undefined : shared(factors) }
}

async function quantize(
  task: QuantizeTask,
  prepared: readonly Prepared[] | undefined,
  resources: Resources,
  buffers: BufferPool,
): Promise<WorkerReply> {
  const { tensor, run, type, method } = task
  const values = await rowsOf(run, resources, buffers)
  const copied = method === 'copy' ? await storedBlocks(tensor, run, resources, buffers) : undefined

  // Nothing is awaited from here to the end of the computation, so that no other task's time is counted.
  const start = performance.now()
  let peak = 0
  const see = (largest: number): void => {
    if (!Number.isFinite(largest)) checkFinite(tensor, run, values, resources.codec)
    peak = Math.max(peak, largest)
  }
  if (copied !== undefined) checkFinite(tensor, run, values, resources.codec)
  const blocks = copied ?? encode(type, values, run, prepared, resources, buffers, see)
  const sums = method === 'measure' ? [measuredSums(task, values, blocks, peak, prepared, resources.codec, buffers)] : []
  const seconds = (performance.now() - start) / 1000

  buffers.release(values)
  await resources.files.put(task, blocks)
  return { ok: true, sums, seconds, checksum: crc32(blocks) }
}

/** Quantizes rows, with error feedback where tables for the type are prepared. @param see receives the largest magnitude first. */
function encode(
  type: GgmlTypeName,
  values: Float32Array,
  { recipe, importance }: RowRun,
  prepared: readonly Prepared[] | undefined,
  { codec, effort }: Resources,
  buffers: BufferPool,
  see: (largest: number) => void,
): Uint8Array {
  const target = buffers.bytes(ggmlBytes(type, values.length))
  const layout = feedbackLayout(type)
  const factor = prepared?.find((made) => layout !== undefined && 'tables' in made && made.tables[layout] !== undefined)
  if (factor === undefined || !('tables' in factor))
    return codec.quantize(type, values, rowLength(recipe), importance, effort, target, see)
  const options = { target, see, importance, effort }
  return codec.quantizeWithFeedback(type, values, rowLength(recipe), factor, options)
}

/** @throws MqError TENSOR_OVERFLOW where the type stored infinity, in whatever row. */
function measuredSums(
  { tensor, run, type, measured }: QuantizeTask,
  values: Float32Array,
  blocks: Uint8Array,
  peak: number,
  prepared: readonly Prepared[] | undefined,
  codec: Codec,
  buffers: BufferPool,
): ErrorSums {
  const length = rowLength(run.recipe)
  const rowBytes = ggmlBytes(type, length)
  const { start, end } = peak < safeMagnitude ? measured : { start: 0, end: run.end - run.start }
  const elements = (end - start) * length
  const part = blocks.subarray(start * rowBytes, end * rowBytes)
  const stored = codec.dequantize(type, part, elements, buffers.floats(elements))
  const infinite = peak < safeMagnitude ? -1 : codec.firstNonFinite(stored)
  if (infinite >= 0) {
    const row = run.tensorRow + Math.floor(infinite / length)
    throw MqError.of('TENSOR_OVERFLOW', { tensor, row, type })
  }
  const from = (measured.start - start) * length
  const to = (measured.end - start) * length
  const [before, after] = [values.subarray(measured.start * length, measured.end * length), stored.subarray(from, to)]
  const { blockSize, blockBytes } = ggmlType(type)
  const clipped = clippedCount(before, after, (8 * blockBytes) / blockSize)
  const form = outputsOf(prepared)
  const outputs = form === undefined ? noOutputs : outputSums(before, after, form, codec, buffers)
  return { ...errorSums(before, after, run.importance), ...outputs, clipped }
}

function outputsOf(prepared: readonly Prepared[] = []): OutputForm | undefined {
  return prepared.find((made) => 'panels' in made)
}

/** Number of rows whose output error takes a small part of a task's time. */
function outputSampleRows({ columns, depth }: OutputForm): number {
  return 4 * Math.max(1, Math.floor(2 ** 20 / (columns * (depth + 1))))
}

/** Output power and output error of sampled rows. */
function outputSums(
  values: Float32Array,
  stored: Float32Array,
  form: OutputForm,
  codec: Codec,
  buffers: BufferPool,
): Pick<ErrorSums, 'outputError' | 'outputNorm'> {
  const most = outputSampleRows(form)
  const sample = (rows: Float32Array): Float32Array => sampleRows(rows, form.columns, most, (length) => buffers.floats(length))
  const [before, after] = [sample(values), sample(stored)]
  return { outputError: errorOf(before, after, form, codec, buffers), outputNorm: codec.outputError(before, form) }
}

/** Output error. The differences are in a pooled buffer: workers allocate few objects, so that garbage would accumulate uncollected. */
function errorOf(before: Float32Array, after: Float32Array, form: OutputForm, codec: Codec, buffers: BufferPool): number {
  const errors = buffers.floats(before.length)
  for (let i = 0; i < errors.length; i++) errors[i] = (before[i] as number) - (after[i] as number)
  const sum = codec.outputError(errors, form)
  buffers.release(errors)
  return sum
}

async function measure(
  { tensor, runs, types }: MeasureTask,
  prepared: readonly Prepared[] | undefined,
  resources: Resources,
  buffers: BufferPool,
): Promise<WorkerReply> {
  const { codec } = resources
  const form = outputsOf(prepared)
  const rows: Float32Array[] = []
  for (const run of runs) rows.push(await rowsOf(run, resources, buffers))
  const start = performance.now()
  const norms = rows.map((values) => (form === undefined ? 0 : codec.outputError(values, form)))
  const sumsOf = (type: GgmlTypeName): ErrorSums => {
    let total = noErrorSums
    for (const [index, run] of runs.entries()) {
      const values = rows[index] as Float32Array
      const see = (largest: number): void => {
        if (!Number.isFinite(largest)) checkFinite(tensor, run, values, resources.codec)
      }
      const blocks = encode(type, values, run, prepared, resources, buffers, see)
      const stored = codec.dequantize(type, blocks, values.length, buffers.floats(values.length))
      const sums = errorSums(values, stored, run.importance)
      const outputs = form && { outputError: errorOf(values, stored, form, codec, buffers), outputNorm: norms[index] as number }
      total = addErrorSums(total, { ...sums, ...outputs })
      buffers.release(stored)
      buffers.release(blocks)
    }
    return total
  }
  // Types of one layout together: their tables are in the kernels' memory.
  const found = new Map(types.toSorted(byLayout).map((type) => [type, sumsOf(type)]))
  const seconds = (performance.now() - start) / 1000
  return { ok: true, sums: types.map((type) => found.get(type) as ErrorSums), seconds, checksum: 0 }
}

function byLayout(a: GgmlTypeName, b: GgmlTypeName): number {
  return (feedbackLayout(a) ?? '').localeCompare(feedbackLayout(b) ?? '')
}

function rowsOf(
  { recipe, start, end }: Pick<RowRun, 'recipe' | 'start' | 'end'>,
  { codec, files, statistics }: Resources,
  buffers: BufferPool,
): Promise<Float32Array> {
  return evaluateRows(recipe, start, end, (range) => files.read(range, buffers), codec, buffers, statistics)
}

/** @throws MqError TENSOR_NOT_FINITE. */
function checkFinite(tensor: string, { recipe, tensorRow }: RowRun, values: Float32Array, codec: Codec): void {
  const found = codec.firstNonFinite(values)
  if (found < 0) return
  throw MqError.of('TENSOR_NOT_FINITE', { tensor, row: tensorRow + Math.floor(found / rowLength(recipe)) })
}

/** Blocks of rows as they are stored in the source. @throws MqError STORAGE_UNSUPPORTED where a block cannot hold what the file has. */
async function storedBlocks(
  tensor: string,
  { recipe, start, end }: RowRun,
  resources: Resources,
  buffers: BufferPool,
): Promise<Uint8Array> {
  if (recipe.op !== 'ggml') {
    const stored = blocksOf(recipe)
    if (stored === undefined) throw new RangeError(`nothing to copy in ${recipe.op}`)
    const values = await rowsOf({ recipe: stored.bytes, start, end }, resources, buffers)
    if (values.some(Number.isNaN)) {
      throw MqError.of('STORAGE_UNSUPPORTED', {
        file: `The tensor ${tensor}`,
        storage: `4-bit integers that ${stored.type} cannot hold exactly (a scale beyond F16, a zero point other than 8, or columns out of order)`,
        advice: 'Set another type for this tensor, such as Q8_0',
      })
    }
    const bytes = Uint8Array.from(values)
    buffers.release(values)
    return bytes
  }
  const { file, start: first } = recipe.range
  const rowBytes = ggmlBytes(recipe.type, rowLength(recipe))
  return resources.files.read({ file, start: first + start * rowBytes, end: first + end * rowBytes }, buffers)
}
