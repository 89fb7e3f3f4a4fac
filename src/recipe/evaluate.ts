import type { Codec } from '../../formats/ggml/codec.js'
import { ggmlBytes } from '../../formats/ggml/types.js'
import { plainTypeBytes } from './build.js'
import { decodePlain } from './decode.js'
import { elementCount, rowCount, rowLength } from './shape.js'
import type { FileRange, Recipe } from './types.js'

/** Reads exactly the bytes of a range. */
export type ReadRange = (range: FileRange) => Promise<Uint8Array>

/** Values of intermediate results held at once where an operation needs more input than it gives output. */
const valuesAtOnce = 1 << 20

/** Where evaluation takes its buffers from and gives them back to; what it takes may hold anything. */
export interface Buffers {
  floats(length: number): Float32Array
  /** Gives back a buffer, or the bytes of a range that was read. */
  release(view: ArrayBufferView): void
}

const newBuffers: Buffers = { floats: (length) => new Float32Array(length), release() {} }

interface Reader {
  readonly read: ReadRange
  readonly codec: Codec
  readonly buffers: Buffers
}

/**
 * The values of rows `start` to `end` (exclusive) of a recipe. Reads only the bytes that these rows need; memory is a small multiple of
 * the rows asked for.
 * @param buffers where the result's memory comes from, too; by default everything is new.
 * @returns (end - start) * rowLength(recipe) values, row-major.
 */
export async function evaluateRows(
  recipe: Recipe,
  start: number,
  end: number,
  read: ReadRange,
  codec: Codec,
  buffers: Buffers = newBuffers,
): Promise<Float32Array> {
  if (!(Number.isSafeInteger(start) && start >= 0 && end >= start && end <= rowCount(recipe))) {
    throw new RangeError(`rows ${start} to ${end} of ${rowCount(recipe)}`)
  }
  const target = buffers.floats((end - start) * rowLength(recipe))
  await fill(recipe, start, target, { read, codec, buffers })
  return target
}

/** Writes as many rows of the recipe, from `start`, as the target has room for. */
async function fill(recipe: Recipe, start: number, target: Float32Array, reader: Reader): Promise<void> {
  const length = rowLength(recipe)
  const end = start + target.length / length
  switch (recipe.op) {
    case 'plain': {
      const rowBytes = length * plainTypeBytes[recipe.dtype]
      const bytes = await reader.read(within(recipe.range, start * rowBytes, end * rowBytes))
      decodePlain(recipe.dtype, bytes, target)
      return reader.buffers.release(bytes)
    }
    case 'ggml': {
      const rowBytes = ggmlBytes(recipe.type, length)
      const bytes = await reader.read(within(recipe.range, start * rowBytes, end * rowBytes))
      reader.codec.dequantize(recipe.type, bytes, target.length, target)
      return reader.buffers.release(bytes)
    }
    case 'block-scale':
      return fillBlockScale(recipe, start, target, reader)
    case 'interleave-halves':
      return fillInterleaveHalves(recipe, start, target, reader)
    case 'reshape':
      return fillReshape(recipe, start, target, reader)
    case 'slice': {
      const inner = elementCount(recipe.shape.slice(recipe.axis + 1, -1))
      const sliceRows = (recipe.end - recipe.start) * inner
      const inputRows = (recipe.input.shape[recipe.axis] ?? 0) * inner
      return fillParts(start, end, sliceRows, length, target, (part, row, rows) =>
        fill(recipe.input, part * inputRows + recipe.start * inner + row, rows, reader),
      )
    }
    case 'transpose':
      return fillTranspose(recipe, start, target, reader)
    case 'stack': {
      const [first] = recipe.inputs
      return fillParts(start, end, first === undefined ? 1 : rowCount(first), length, target, (part, row, rows) =>
        fill(recipe.inputs[part] as Recipe, row, rows, reader),
      )
    }
    case 'concat':
      return fillConcat(recipe, start, target, reader)
    case 'add':
      await fill(recipe.input, start, target, reader)
      for (let i = 0; i < target.length; i++) target[i] = (target[i] as number) + recipe.value
      return
    case 'constant':
      return target.set(recipe.values.slice(start * length, end * length))
  }
}

/** Fills rows that come from equal parts of `partRows` rows each: `fillPart(part, first row in it, its share of the target)`. */
async function fillParts(
  start: number,
  end: number,
  partRows: number,
  length: number,
  target: Float32Array,
  fillPart: (part: number, row: number, target: Float32Array) => Promise<void>,
): Promise<void> {
  for (let row = start; row < end; ) {
    const part = Math.floor(row / partRows)
    const next = Math.min(end, (part + 1) * partRows)
    await fillPart(part, row - part * partRows, target.subarray((row - start) * length, (next - start) * length))
    row = next
  }
}

type Of<Op extends Recipe['op']> = Extract<Recipe, { op: Op }>

async function fillBlockScale(recipe: Of<'block-scale'>, start: number, target: Float32Array, reader: Reader): Promise<void> {
  const { weight, scale, blockRows, blockColumns } = recipe
  const columns = rowLength(recipe)
  const end = start + target.length / columns
  const firstBlock = Math.floor(start / blockRows)
  const scaleColumns = rowLength(scale)
  const scales = reader.buffers.floats((Math.ceil(end / blockRows) - firstBlock) * scaleColumns)
  await Promise.all([fill(weight, start, target, reader), fill(scale, firstBlock, scales, reader)])
  for (let row = start, at = 0; row < end; row++) {
    const scaleRow = (Math.floor(row / blockRows) - firstBlock) * scaleColumns
    for (let block = 0, column = 0; column < columns; block++) {
      const factor = scales[scaleRow + block] as number
      const blockEnd = Math.min(columns, column + blockColumns)
      for (; column < blockEnd; column++, at++) target[at] = (target[at] as number) * factor
    }
  }
  reader.buffers.release(scales)
}

async function fillInterleaveHalves(
  { input, heads, shape }: Of<'interleave-halves'>,
  start: number,
  target: Float32Array,
  reader: Reader,
): Promise<void> {
  const headRows = (shape[0] ?? 0) / heads
  const half = headRows / 2
  if (shape.length === 1) {
    const values = reader.buffers.floats(target.length)
    await fill(input, 0, values, reader)
    for (let at = 0; at < target.length; at++) {
      const inHead = at % headRows
      target[at] = values[at - inHead + (inHead % 2) * half + Math.floor(inHead / 2)] as number
    }
    return reader.buffers.release(values)
  }
  const length = rowLength(input)
  await fillParts(start, start + target.length / length, headRows, length, target, async (head, row, rows) => {
    const end = row + rows.length / length
    // Even rows are a run of the head's first half, odd rows one of its second.
    for (const parity of [0, 1]) {
      const from = Math.ceil((row - parity) / 2)
      const run = reader.buffers.floats((Math.ceil((end - parity) / 2) - from) * length)
      await fill(input, head * headRows + parity * half + from, run, reader)
      for (let at = 0, to = 2 * from + parity - row; at < run.length; at += length, to += 2) {
        rows.set(run.subarray(at, at + length), to * length)
      }
      reader.buffers.release(run)
    }
  })
}

async function fillReshape({ input, shape }: Of<'reshape'>, start: number, target: Float32Array, reader: Reader): Promise<void> {
  const inputLength = rowLength(input)
  const from = start * rowLength({ shape })
  const firstRow = Math.floor(from / inputLength)
  const lastRow = Math.ceil((from + target.length) / inputLength)
  const skipped = from - firstRow * inputLength
  if (skipped === 0 && (lastRow - firstRow) * inputLength === target.length) return fill(input, firstRow, target, reader)
  const rows = reader.buffers.floats((lastRow - firstRow) * inputLength)
  await fill(input, firstRow, rows, reader)
  target.set(rows.subarray(skipped, skipped + target.length))
  reader.buffers.release(rows)
}

async function fillTranspose(
  { input, shape }: Of<'transpose'>,
  start: number,
  target: Float32Array,
  reader: Reader,
): Promise<void> {
  const length = rowLength({ shape })
  const inputLength = rowLength(input)
  const step = Math.max(1, Math.floor(valuesAtOnce / inputLength))
  await fillParts(start, start + target.length / length, inputLength, length, target, async (matrix, first, columns) => {
    const end = first + columns.length / length
    for (let row = 0; row < length; row += step) {
      const count = Math.min(step, length - row)
      const rows = reader.buffers.floats(count * inputLength)
      await fill(input, matrix * length + row, rows, reader)
      for (let column = first; column < end; column++) {
        const to = (column - first) * length + row
        for (let i = 0, at = column; i < count; i++, at += inputLength) columns[to + i] = rows[at] as number
      }
      reader.buffers.release(rows)
    }
  })
}

async function fillConcat({ inputs, shape }: Of<'concat'>, start: number, target: Float32Array, reader: Reader): Promise<void> {
  // Vectors follow one another within the only row.
  const unit = shape.length === 1 ? 1 : rowLength({ shape })
  const end = start + target.length / unit
  let before = 0
  for (const input of inputs) {
    const rows = shape.length === 1 ? rowLength(input) : rowCount(input)
    const from = Math.max(start, before)
    const to = Math.min(end, before + rows)
    if (from < to) await fill(input, from - before, target.subarray((from - start) * unit, (to - start) * unit), reader)
    before += rows
  }
}

function within({ file, start }: FileRange, from: number, to: number): FileRange {
  return { file, start: start + from, end: start + to }
}
