/** Rows without those that are all zero, of which one is kept: widened models and pruned experts have many, and their blocks are the same. */
export interface PackedRows {
  readonly count: number
  /** For each row its index among the packed ones; undefined where all rows are kept. */
  readonly indices: readonly number[] | undefined
}

/**
 * Copies the rows that are not all zero, and one of zeros behind them if there is any. -0 is not zero: floats keep its sign.
 * @param rows row-major, whole rows of `rowLength` values.
 * @param target room for all rows.
 */
export function packRows(rows: Float32Array, rowLength: number, target: Float32Array): PackedRows {
  const bits = new Uint32Array(rows.buffer, rows.byteOffset, rows.length)
  const total = rows.length / rowLength
  const indices: number[] = []
  let count = 0
  let copied = 0
  const copyUntil = (row: number): void => {
    target.set(rows.subarray(copied * rowLength, row * rowLength), (count - (row - copied)) * rowLength)
  }
  for (let row = 0; row < total; row++) {
    if (isZero(bits, row * rowLength, rowLength)) {
      copyUntil(row)
      copied = row + 1
      indices.push(-1)
    } else indices.push(count++)
  }
  copyUntil(total)
  if (count === total) return { count, indices: undefined }
  target.fill(0, count * rowLength, (count + 1) * rowLength)
  return { count: count + 1, indices: indices.map((index) => (index < 0 ? count : index)) }
}

/** Puts what was made of packed rows, `rowBytes` each, where the rows were. */
export function unpackRows(packed: Uint8Array, rowBytes: number, indices: PackedRows['indices'], target: Uint8Array): void {
  if (indices === undefined) target.set(packed)
  else {
    for (const [row, index] of indices.entries()) {
      target.set(packed.subarray(index * rowBytes, (index + 1) * rowBytes), row * rowBytes)
    }
  }
}

function isZero(bits: Uint32Array, start: number, length: number): boolean {
  for (let at = start; at < start + length; at++) if (bits[at] !== 0) return false
  return true
}
