import { type Operation, requireBytes, within } from '../operation.js'
import type { FileRange, Shape } from '../recipe.js'
import { showShape } from '../shape.js'

/**
 * Whole numbers of a few bits, packed without gaps in little-endian words, low bits first.
 *
 * Along the rows (`along` 1), each row of `shape` begins with a word of its own; `columns` values of it are kept. Down the columns (`along` 0),
 * word (w, c) of a matrix of 32-bit words holds values of column c, one below the other. `order` says at which place of each group of so
 * many neighbours a value stands: AWQ's interleaving. `transposed` gives the matrix with its dimensions exchanged.
 */
export interface UnpackRecipe {
  readonly op: 'unpack'
  readonly range: FileRange
  /** Bits of a value: 1 to 8. */
  readonly bits: number
  readonly along: number
  /** Rows and columns of the packed matrix: bytes in a row where `along` is 1, 32-bit words where it is 0. */
  readonly packed: Shape
  /** Rows and columns of the values, before they are transposed. */
  readonly values: Shape
  /** Place of each value within its group; empty for the natural order. */
  readonly order: readonly number[]
  readonly transposed: boolean
  readonly shape: Shape
}

declare module '../recipe.js' {
  interface RecipeNodes {
    readonly unpack: UnpackRecipe
  }
}

/** How values are packed: the fields of UnpackRecipe that are not its shape. */
export interface Packing {
  readonly bits: number
  readonly along: 0 | 1
  readonly packed: Shape
  readonly values: Shape
  readonly order?: readonly number[]
  readonly transposed?: boolean
}

/** @throws RangeError where the bytes do not hold the values. */
export function unpack(range: FileRange, packing: Packing): UnpackRecipe {
  const { bits, along, packed, values, order = [], transposed = false } = packing
  const [packedRows = 0, packedColumns = 0] = packed
  const [rows = 0, columns = 0] = values
  const wrong = new RangeError(`${bits}-bit values ${showShape(values)} in ${showShape(packed)}`)
  if (packed.length !== 2 || values.length !== 2 || !(bits >= 1 && bits <= 8)) throw wrong
  requireBytes(range, packedRows * packedColumns * (along === 1 ? 1 : 4), 'packed values')
  const fits =
    along === 1
      ? packedRows === rows && packedColumns * 8 >= columns * bits
      : packedColumns === columns && packedRows * 32 >= rows * bits
  if (!fits || order.toSorted((a, b) => a - b).some((place, index) => place !== index)) throw wrong
  if (order.length > 0 && (columns % order.length !== 0 || along !== 1)) throw wrong
  return {
    op: 'unpack',
    range,
    bits,
    along,
    packed,
    values,
    order,
    transposed,
    shape: transposed ? [columns, rows] : [rows, columns],
  }
}

/** Bytes of packed rows that are read at once where columns are asked for. */
const bytesAtOnce = 1 << 22
/** Rows of a transposed matrix that are best unpacked together: for each run of them, all packed bytes are read. */
const rowsTogether = 256

export const unpackOperation: Operation<UnpackRecipe> = {
  operands: () => [],
  source: ({ range }) => ({ type: 'U8', range }),
  lossless: false,
  rowStep: ({ transposed, along, bits, shape }) =>
    transposed ? Math.min(shape[0] ?? 1, rowsTogether) : along === 1 ? 1 : 32 / gcd(32, bits),
  async fill(node, start, target, { read, buffers }) {
    const { range, bits, along, packed, transposed } = node
    const [packedRows = 0, packedColumns = 0] = packed
    const [rows = 0, columns = 0] = node.values
    const rowBytes = packedColumns * (along === 1 ? 1 : 4)
    const count = target.length / (transposed ? rows : columns)
    // The rows and columns of values that are asked for.
    const [firstRow, endRow] = transposed ? [0, rows] : [start, start + count]
    const [firstColumn, endColumn] = transposed ? [start, start + count] : [0, columns]
    const rowStride = transposed ? 1 : columns
    const columnStride = transposed ? rows : 1
    // Values that begin together with a word: the rows of a pass over the packed bytes.
    const unit = along === 1 ? 1 : 32 / gcd(32, bits)
    const unitBytes = along === 1 ? rowBytes : (unit * bits * rowBytes) / 32
    const pass = Math.max(1, Math.floor(bytesAtOnce / unitBytes)) * unit
    const mask = 2 ** bits - 1
    for (let from = firstRow - (firstRow % unit); from < endRow; from += pass) {
      const end = Math.min(rows, from + pass, Math.ceil(endRow / unit) * unit)
      const packedFrom = along === 1 ? from : (from * bits) / 32
      const packedEnd = Math.min(packedRows, along === 1 ? end : Math.ceil((end * bits) / 32))
      const bytes = await read(within(range, packedFrom * rowBytes, packedEnd * rowBytes))
      for (let row = Math.max(from, firstRow); row < Math.min(end, endRow); row++) {
        let to = (row - firstRow) * rowStride
        if (along === 1) {
          const at = (row - packedFrom) * rowBytes
          for (let column = firstColumn; column < endColumn; column++, to += columnStride) {
            const bit = placeOf(column, node.order) * bits
            const byte = at + (bit >>> 3)
            target[to] = (((bytes[byte] as number) | ((bytes[byte + 1] ?? 0) << 8)) >>> (bit & 7)) & mask
          }
        } else {
          // Byte k of the words of a column, the lowest first, stands in word row k / 4.
          const bit = row * bits - packedFrom * 32
          const byteAt = (index: number): number => (index >>> 2) * rowBytes + (index & 3)
          const low = byteAt(bit >>> 3)
          const high = byteAt((bit >>> 3) + 1)
          for (let column = firstColumn; column < endColumn; column++, to += columnStride) {
            target[to] = (((bytes[low + 4 * column] as number) | ((bytes[high + 4 * column] ?? 0) << 8)) >>> (bit & 7)) & mask
          }
        }
      }
      buffers.release(bytes)
    }
  },
  read: (fields) => {
    const along = fields.whole('along')
    if (along > 1) throw new RangeError('along of unpack is 0 or 1')
    return unpack(fields.range('range'), {
      bits: fields.count('bits'),
      along: along === 1 ? 1 : 0,
      packed: fields.shape('packed'),
      values: fields.shape('values'),
      order: fields.numbers('order'),
      transposed: fields.flag('transposed'),
    })
  },
}

function placeOf(column: number, order: readonly number[]): number {
  const { length } = order
  return length === 0 ? column : column - (column % length) + (order[column % length] as number)
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b)
}
