import type { ByteSource } from '../byte-source.js'
import { FormatError } from '../format-error.js'
import { readGguf } from '../gguf/index.js'
import { quote } from '../quote.js'
import type { ImportanceEntry, ImportanceMatrix } from './types.js'

export const sumsSuffix = '.in_sum2'
export const countsSuffix = '.counts'

/**
 * Reads the GGUF form: for each weight `NAME.in_sum2` (sum of x^2, [columns, matrices]) and `NAME.counts` ([1, matrices]), F32.
 * A matrix without tokens gets the mean of the others.
 * Source: tools/imatrix/imatrix.cpp of llama.cpp.
 * @throws FormatError IMATRIX_INVALID, and what readGguf throws.
 */
export async function readGgufForm(source: ByteSource): Promise<ImportanceMatrix> {
  const header = await readGguf(source)
  const fail = (problem: string): FormatError => new FormatError('IMATRIX_INVALID', { file: source.name, problem })
  if (header.metadata.get('general.type')?.value !== 'imatrix') throw fail('its general.type is not "imatrix"')
  if (header.byteOrder !== 'little') throw fail('it is big-endian')

  const tensors = new Map(header.tensors.map((tensor) => [tensor.name, tensor]))
  const values = async (name: string): Promise<Float32Array> => {
    const tensor = tensors.get(name)
    if (tensor?.type !== 'F32') throw fail(`${quote(name)} is not there as F32`)
    const start = header.dataOffset + tensor.offset
    const bytes = await source.slice(start, start + tensor.sizeBytes)
    return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength))
  }

  const entries = new Map<string, ImportanceEntry>()
  for (const name of tensors.keys()) {
    if (!name.endsWith(sumsSuffix)) continue
    const weight = name.slice(0, -sumsSuffix.length)
    const sums = await values(name)
    const counts = [...(await values(weight + countsSuffix))]
    if (counts.length === 0 || sums.length % counts.length !== 0) {
      throw fail(`${quote(weight)} has ${sums.length} sums for ${counts.length} matrices`)
    }
    if (!counts.every((count) => count >= 0) || !sums.every((sum) => sum >= 0 && Number.isFinite(sum))) {
      throw fail(`${quote(weight)} has sums or counts that are negative or not finite`)
    }
    entries.set(weight, { meanSquares: meansOf(sums, counts), counts })
  }
  const datasets = header.metadata.get('imatrix.datasets')
  const number = (key: string): number => {
    const entry = header.metadata.get(key)
    return entry?.type === 'uint32' ? entry.value : 0
  }
  return {
    entries,
    datasets: datasets?.type === 'array' ? datasets.value.map(String) : [],
    chunks: number('imatrix.chunk_count'),
    chunkLength: number('imatrix.chunk_size'),
  }
}

function meansOf(sums: Float32Array, counts: readonly number[]): Float32Array {
  const columns = sums.length / counts.length
  const means = new Float32Array(sums.length)
  const pooled = new Float64Array(columns)
  const total = counts.reduce((sum, count) => sum + count, 0)
  for (let index = 0; index < sums.length; index += 1) {
    const column = index % columns
    pooled[column] = (pooled[column] ?? 0) + (sums[index] ?? 0)
  }
  for (let index = 0; index < sums.length; index += 1) {
    const count = counts[Math.floor(index / columns)] ?? 0
    if (count > 0) means[index] = (sums[index] ?? 0) / count
    else means[index] = total > 0 ? (pooled[index % columns] ?? 0) / total : 1
  }
  return means
}
