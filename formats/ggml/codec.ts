import { alignUp } from '../align-up.js'
import { FormatError } from '../format-error.js'
import { type Effort, efforts } from './effort.js'
import type { FeedbackFactor } from './feedback.js'
import { feedbackLayout, feedbackReach } from './feedback-forms.js'
import { kernelNames, loadKernels } from './load-kernels.js'
import { type OutputForm, sumOutputs } from './output-error.js'
import type { ProductKernel } from './products.js'
import { type GgmlTypeName, ggmlBytes, ggmlType } from './types.js'
import { packRows, unpackRows } from './zero-rows.js'

/** Elements that cross into the kernels' memory in one call; it bounds that memory. */
const elementsPerCall = 1 << 20

/**
 * Turns rows of f32 into ggml blocks and back, with the kernels of formats/ggml/kernels compiled to WebAssembly.
 * Deterministic: the same input gives the same bytes on every machine. One codec serves one thread.
 */
export interface Codec {
  /** Whether there is a kernel that writes the type. */
  canQuantize(type: GgmlTypeName): boolean
  /** Whether there is a kernel that reads the type. */
  canDequantize(type: GgmlTypeName): boolean
  /**
   * Quantizes whole rows.
   * @param rows row-major, a multiple of `rowLength` values, all finite.
   * @param importance one weight >= 0 for each column (mean square of the activations); without it every column counts the same.
   * @param effort by default `default`. The same effort gives the same bytes.
   * @param target where the blocks go, which they fill; by default new memory.
   * @param see is told the largest |x| of some rows before they are quantized, NaN or infinity where there is one; what it throws ends the call.
   * @returns rows * rowLength / blockSize blocks.
   * @throws FormatError GGML_ROW_MISALIGNED, GGML_TYPE_UNKNOWN.
   */
  quantize(
    type: GgmlTypeName,
    rows: Float32Array,
    rowLength: number,
    importance?: Float32Array,
    effort?: Effort,
    target?: Uint8Array,
    see?: (largest: number) => void,
  ): Uint8Array
  /** Whether the codes of the type can be chosen with error feedback. */
  canFeedBack(type: GgmlTypeName): boolean
  /**
   * Quantizes whole rows as `quantize` does, and then chooses the codes again with error feedback: the error of each column is compensated in
   * the columns that follow.
   * @param factor of the covariance of the weight's inputs, from `prepareFeedback`; its columns are `rowLength`.
   * @param options importance: by default the factor's own. effort: how far scales are searched while codes are chosen; the encoder's own
   *   search is the fast one, since more of it gains nothing here. reach: the same in steps of the scales, 0 to keep the encoder's. target, see: as in `quantize`.
   * @throws FormatError GGML_ROW_MISALIGNED, GGML_TYPE_UNKNOWN.
   */
  quantizeWithFeedback(
    type: GgmlTypeName,
    rows: Float32Array,
    rowLength: number,
    factor: FeedbackFactor,
    options?: {
      readonly importance?: Float32Array
      readonly reach?: number
      readonly effort?: Effort
      readonly target?: Uint8Array
      readonly see?: (largest: number) => void
    },
  ): Uint8Array
  /**
   * Output error of weight errors: the sum of e H e^T over rows e, in f32 except for the last sum.
   * @param errors row-major, rows of the form's columns.
   * @param form of H, from `prepareOutputs`.
   */
  outputError(errors: Float32Array, form: OutputForm): number
  /**
   * Reads blocks back, bit for bit as ggml does.
   * @param bytes exactly the blocks of `elements` values.
   * @param target where the values go, which they fill; by default new memory.
   * @throws FormatError GGML_ROW_MISALIGNED, GGML_TYPE_UNKNOWN.
   */
  dequantize(type: GgmlTypeName, bytes: Uint8Array, elements: number, target?: Float32Array): Float32Array
  /** Index of the first infinity or NaN; -1 where all are finite. */
  firstNonFinite(values: Float32Array): number
}

type QuantizeKernel = (source: number, target: number, rows: number, rowLength: number, importance: number) => void
type FeedbackKernel = (
  source: number,
  target: number,
  rows: number,
  rowLength: number,
  tables: number,
  depth: number,
  reach: number,
  work: number,
) => void
type DequantizeKernel = (source: number, target: number, elements: number) => void

/** Room in the kernels' memory for what many calls need. */
interface KeptPlace {
  bytes: number
  /** Of what is there; absent where nobody will ask for it again. */
  name?: string
}

/** Which types the kernels that `npm run build` made write and read, without a codec and its memory. */
export async function kernelTypes(): Promise<Pick<Codec, 'canQuantize' | 'canDequantize'>> {
  return askedOf(await kernelNames())
}

function askedOf(names: ReadonlySet<string>): Pick<Codec, 'canQuantize' | 'canDequantize'> {
  return {
    canQuantize: (type) => names.has(`quantize_${type.toLowerCase()}`),
    canDequantize: (type) => names.has(`dequantize_${type.toLowerCase()}`),
  }
}

/**
 * Loads the kernels into a memory of their own.
 * @param wasm the compiled module; by default the one that `npm run build` made.
 */
export async function openCodec(wasm?: Uint8Array): Promise<Codec> {
  const { exports: kernels, memory, heapBase, reserve } = await loadKernels(wasm)
  const setEffort = kernels['set_effort'] as (level: number) => void
  const largestMagnitude = kernels['largest_magnitude'] as (source: number, elements: number) => number
  const kernel = <T>(verb: 'quantize' | 'feedback' | 'dequantize', type: GgmlTypeName): T => {
    const found = kernels[`${verb}_${type.toLowerCase()}`]
    if (found === undefined)
      throw new FormatError('GGML_TYPE_UNKNOWN', {
        type,
        where: verb === 'feedback' ? 'the feedback kernels' : `the kernels that ${verb}`,
      })
    return found as T
  }
  const tablesPlace: KeptPlace = { bytes: 0 }
  const panelsPlace: KeptPlace = { bytes: 0 }
  const workBase = (): number => heapBase + tablesPlace.bytes + panelsPlace.bytes
  /** Puts what is not there yet into its place. @returns where it is. */
  const keep = (place: KeptPlace, name: string | undefined, content: Uint8Array | Float32Array): number => {
    const at = () => (place === tablesPlace ? heapBase : heapBase + tablesPlace.bytes)
    if (name !== undefined && place.name === name) return at()
    if (content.byteLength > place.bytes) {
      place.bytes = alignUp(content.byteLength, 64)
      // the tables reach over them now
      if (place === tablesPlace) delete panelsPlace.name
    }
    reserve(workBase())
    const bytes = new Uint8Array(content.buffer, content.byteOffset, content.byteLength)
    new Uint8Array(memory.buffer, at(), content.byteLength).set(bytes)
    if (name === undefined) delete place.name
    else place.name = name
    return at()
  }

  /** What else is done with the blocks of some rows before they leave the kernels' memory. */
  interface Rework {
    /** Bytes that it needs in the kernels' memory. */
    readonly bytes: number
    /** `at`: where they are. */
    readonly run: (source: number, target: number, rows: number, at: number) => void
  }

  const quantizeRows = (
    type: GgmlTypeName,
    rows: Float32Array,
    rowLength: number,
    importance: Float32Array | undefined,
    effort: Effort,
    target: Uint8Array | undefined,
    see: ((largest: number) => void) | undefined,
    rework?: Rework,
  ): Uint8Array => {
    const run = kernel<QuantizeKernel>('quantize', type)
    const { blockSize } = ggmlType(type)
    if (rowLength % blockSize !== 0) throw new FormatError('GGML_ROW_MISALIGNED', { type, rowLength, blockSize })
    if (rows.length % rowLength !== 0) throw new RangeError(`${rows.length} values are not whole rows of ${rowLength}`)
    if (importance !== undefined && importance.length !== rowLength) {
      throw new RangeError(`${importance.length} importance weights for rows of ${rowLength}`)
    }
    const rowBytes = ggmlBytes(type, rowLength)
    const rowCount = rows.length / rowLength
    const rowsPerCall = Math.max(1, Math.floor(elementsPerCall / rowLength))
    const importanceAt = workBase()
    const sourceAt = alignUp(importanceAt + 4 * rowLength, 64)
    const targetAt = alignUp(sourceAt + 4 * rowLength * Math.min(rowsPerCall, rowCount), 64)
    const reworkAt = alignUp(targetAt + rowBytes * Math.min(rowsPerCall, rowCount), 64)
    reserve(reworkAt + (rework?.bytes ?? 0))
    if (importance !== undefined) new Float32Array(memory.buffer, importanceAt, rowLength).set(importance)
    setEffort(rework === undefined ? efforts.indexOf(effort) : -1)
    const blocks = target ?? new Uint8Array(rowBytes * rowCount)
    for (let row = 0; row < rowCount; row += rowsPerCall) {
      const part = rows.subarray(row * rowLength, Math.min(rowCount, row + rowsPerCall) * rowLength)
      const { count, indices } = packRows(part, rowLength, new Float32Array(memory.buffer, sourceAt, part.length))
      see?.(largestMagnitude(sourceAt, count * rowLength))
      run(sourceAt, targetAt, count, rowLength, importance === undefined ? 0 : importanceAt)
      rework?.run(sourceAt, targetAt, count, reworkAt)
      unpackRows(new Uint8Array(memory.buffer, targetAt, count * rowBytes), rowBytes, indices, blocks.subarray(row * rowBytes))
    }
    return blocks
  }

  return {
    ...askedOf(new Set(Object.keys(kernels))),
    canFeedBack: (type) => feedbackLayout(type) !== undefined,

    quantize: (type, rows, rowLength, importance, effort = 'default', target, see) =>
      quantizeRows(type, rows, rowLength, importance, effort, target, see),

    quantizeWithFeedback(type, rows, rowLength, factor, options = {}) {
      const { importance = factor.importance, effort = 'default', reach = feedbackReach(type, effort) } = options
      const run = kernel<FeedbackKernel>('feedback', type)
      if (factor.columns !== rowLength) throw new RangeError(`a factor of ${factor.columns} columns for rows of ${rowLength}`)
      const tables = factor.tables[feedbackLayout(type) ?? '32x1']
      if (tables === undefined) throw new RangeError(`a factor without the layout of ${type}`)
      const workBytes = kernels['feedback_memory'] as (rowLength: number, depth: number) => number
      const tablesAt = keep(tablesPlace, factor.name && `${feedbackLayout(type)} ${factor.name}`, tables)
      return quantizeRows(type, rows, rowLength, importance, 'fast', options.target, options.see, {
        bytes: workBytes(rowLength, factor.depth === 0 ? rowLength : factor.depth),
        run: (source, target, count, at) => run(source, target, count, rowLength, tablesAt, factor.depth, reach, at),
      })
    },

    outputError(errors, form) {
      const { columns, panels, depth } = form
      if (errors.length % columns !== 0) throw new RangeError(`${errors.length} values are not whole rows of ${columns}`)
      const rows = errors.length / columns
      const rowsPerCall = Math.min(4 * Math.ceil(rows / 4), 64)
      const panelsAt = keep(panelsPlace, form.name, panels)
      const rowsAt = workBase()
      const workAt = alignUp(rowsAt + 4 * rowsPerCall * columns, 64)
      const productsAt = alignUp(workAt + 16 * columns, 64)
      reserve(productsAt + 4 * rowsPerCall * depth)
      const multiply = kernels['product'] as ProductKernel
      let total = 0
      for (let row = 0; row < rows; row += rowsPerCall) {
        const part = errors.subarray(row * columns, (row + rowsPerCall) * columns)
        // What lies behind the last rows is multiplied with them, and left out of the sum.
        new Float32Array(memory.buffer, rowsAt, part.length).set(part)
        multiply(rowsAt, 4, 4 * columns, panelsAt, productsAt, rowsPerCall, depth, columns, 0, workAt)
        total += sumOutputs(part, new Float32Array(memory.buffer, productsAt, rowsPerCall * depth), form)
      }
      return total
    },

    dequantize(type, bytes, elements, target) {
      const run = kernel<DequantizeKernel>('dequantize', type)
      const { blockSize, blockBytes } = ggmlType(type)
      if (elements % blockSize !== 0) throw new FormatError('GGML_ROW_MISALIGNED', { type, rowLength: elements, blockSize })
      if (bytes.byteLength !== ggmlBytes(type, elements))
        throw new RangeError(`${bytes.byteLength} bytes for ${elements} values of ${type}`)
      const perCall = elementsPerCall // a multiple of every block size
      const sourceAt = workBase()
      const targetAt = alignUp(sourceAt + (Math.min(perCall, elements) / blockSize) * blockBytes, 64)
      reserve(targetAt + 4 * Math.min(perCall, elements))
      const values = target ?? new Float32Array(elements)
      for (let done = 0; done < elements; done += perCall) {
        const count = Math.min(perCall, elements - done)
        const from = (done / blockSize) * blockBytes
        new Uint8Array(memory.buffer, sourceAt).set(bytes.subarray(from, from + (count / blockSize) * blockBytes))
        run(sourceAt, targetAt, count)
        values.set(new Float32Array(memory.buffer, targetAt, count), done)
      }
      return values
    },

    firstNonFinite(values) {
      const scan = kernels['first_non_finite'] as (source: number, elements: number) => number
      const at = workBase()
      reserve(at + 4 * Math.min(elementsPerCall, values.length))
      for (let done = 0; done < values.length; done += elementsPerCall) {
        const part = values.subarray(done, done + elementsPerCall)
        new Float32Array(memory.buffer, at, part.length).set(part)
        const found = scan(at, part.length)
        if (found >= 0) return done + found
      }
      return -1
    },
  }
}
