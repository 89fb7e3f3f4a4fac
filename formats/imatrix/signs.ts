/**
 * A matrix of pseudo-random signs, +1 or -1, each a function of seed and position.
 * @param columns a multiple of 8, at most 2^16.
 * @returns [rows][columns], row-major.
 */
export function randomSigns(seed: number, rows: number, columns: number): Float32Array {
  const signs = new Float32Array(rows * columns)
  for (let row = 0; row < rows; row += 1) {
    let bits = 0
    for (let column = 0; column < columns; column += 1) {
      if (column % 32 === 0) bits = scramble(scramble(seed ^ Math.imul(row + 1, 0x9e3779b1)) ^ (column + 1))
      signs[row * columns + column] = (bits >>> (column % 32)) & 1 ? 1 : -1
    }
  }
  return signs
}

/** 32 bits that look random for any input. Source: the finalizer of MurmurHash3 (Appleby 2011), in the public domain. */
export function scramble(value: number): number {
  let bits = value ^ (value >>> 16)
  bits = Math.imul(bits, 0x85ebca6b)
  bits ^= bits >>> 13
  bits = Math.imul(bits, 0xc2b2ae35)
  return (bits ^ (bits >>> 16)) >>> 0
}
