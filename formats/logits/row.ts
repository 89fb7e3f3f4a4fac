import { rowHeadUnits } from './layout.js'

const maxCode = 65535
/** Logits further below the highest are stored as if they were that far. */
const range = 16
const { fround } = Math

/** The largest of some logits, and ln of the sum of exp(logit - largest), in single precision but for the sum, as llama-perplexity has it. */
export function logSumExp(logits: Float32Array): { readonly max: number; readonly argmax: number; readonly logSum: number } {
  let max = Number.NEGATIVE_INFINITY
  let argmax = 0
  for (let index = 0; index < logits.length; index += 1) {
    const logit = logits[index] as number
    if (logit > max) {
      max = logit
      argmax = index
    }
  }
  let sum = 0
  for (let index = 0; index < logits.length; index += 1) sum += fround(Math.exp(fround((logits[index] as number) - max)))
  return { max, argmax, logSum: fround(Math.log(sum)) }
}

/**
 * Writes one position's logits as a row of the file: ln p in 16 bits, from the highest down to 16 below it.
 * @param row `rowUnits(logits.length)` values.
 * Source: log_softmax() in tools/perplexity/perplexity.cpp of llama.cpp, whose roundings these are.
 */
export function encodeRow(logits: Float32Array, row: Uint16Array): void {
  const { max, logSum } = logSumExp(logits)
  let min = Number.POSITIVE_INFINITY
  for (let index = 0; index < logits.length; index += 1) min = Math.min(min, logits[index] as number)
  min = Math.max(min, fround(max - range))
  const scale = fround(fround(max - min) / maxCode)
  const head = new DataView(row.buffer, row.byteOffset, 2 * rowHeadUnits)
  head.setFloat32(0, scale, true)
  head.setFloat32(4, fround(fround(min - max) - logSum), true)
  row.fill(0, rowHeadUnits)
  if (scale === 0) return
  const inverse = fround(1 / scale)
  for (let index = 0; index < logits.length; index += 1) {
    const logit = logits[index] as number
    if (logit > min) row[rowHeadUnits + index] = nearest(fround(inverse * fround(logit - min)))
  }
}

/** A row of the file: ln p of token t is `fround(fround(scale * codes[t]) + minimum)`. */
export interface StoredRow {
  readonly scale: number
  readonly minimum: number
  readonly codes: Uint16Array
}

/** Takes a row apart, without copying. */
export function decodeRow(row: Uint16Array, vocabulary: number): StoredRow {
  const head = new DataView(row.buffer, row.byteOffset, 2 * rowHeadUnits)
  return {
    scale: head.getFloat32(0, true),
    minimum: head.getFloat32(4, true),
    codes: row.subarray(rowHeadUnits, rowHeadUnits + vocabulary),
  }
}

/** The nearest integer, halves to even: adding 1.5 * 2^23 leaves no fraction in single precision. */
function nearest(value: number): number {
  return fround(value + 12582912) - 12582912
}
