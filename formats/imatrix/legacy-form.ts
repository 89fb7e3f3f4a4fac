import type { ByteSource } from '../byte-source.js'
import { FormatError } from '../format-error.js'
import { quote } from '../quote.js'
import type { ImportanceEntry, ImportanceMatrix } from './types.js'

/** Sanity limits: more than any model has. */
const maxFileBytes = 2 ** 31
const maxNameBytes = 4096

/**
 * Reads the old binary form (`.dat`), little-endian: i32 entries; for each i32 name length, name, i32 calls, i32 values,
 * f32 [values] = mean of x^2 times calls; then i32 last chunk, i32 length and name of the calibration text.
 * Source: common/imatrix-loader.cpp of llama.cpp.
 * @throws FormatError IMATRIX_INVALID; INPUT_TRUNCATED where it ends early.
 */
export async function readLegacyForm(source: ByteSource): Promise<ImportanceMatrix> {
  const fail = (problem: string): FormatError => new FormatError('IMATRIX_INVALID', { file: source.name, problem })
  if (source.byteLength > maxFileBytes) throw fail(`it has ${source.byteLength} bytes`)
  const bytes = await source.slice(0, source.byteLength)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let position = 0
  const take = (count: number): number => {
    if (position + count > bytes.byteLength) {
      throw new FormatError('INPUT_TRUNCATED', { file: source.name, wanted: position + count, present: bytes.byteLength })
    }
    position += count
    return position - count
  }
  const count = (what: string, maximum: number): number => {
    const value = view.getInt32(take(4), true)
    if (value < 0 || value > maximum) throw fail(`it gives ${value} as ${what}`)
    return value
  }
  const text = (length: number): string => new TextDecoder().decode(bytes.subarray(take(length), position))

  const entries = new Map<string, ImportanceEntry>()
  const entryCount = count('the number of its entries', bytes.byteLength / 12)
  for (let index = 0; index < entryCount; index += 1) {
    const name = text(count('the length of a name', maxNameBytes))
    const calls = count('a number of calls', 2 ** 31)
    const length = count('a number of values', bytes.byteLength / 4)
    const start = take(4 * length)
    const scale = calls > 0 ? 1 / calls : 1
    const meanSquares = Float32Array.from({ length }, (_, at) => view.getFloat32(start + 4 * at, true) * scale)
    if (!meanSquares.every((value) => value >= 0 && Number.isFinite(value))) {
      throw fail(`${quote(name)} has values that are negative or not finite`)
    }
    entries.set(name, { meanSquares, counts: [calls] })
  }
  if (entries.size === 0) throw fail('it has no entries')
  let datasets: string[] = []
  let chunks = 0
  if (position < bytes.byteLength) {
    chunks = count('a number of chunks', 2 ** 31)
    datasets = [text(count('the length of a name', bytes.byteLength))]
  }
  return { entries, datasets, chunks, chunkLength: undefined }
}
