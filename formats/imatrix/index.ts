import type { ByteSource } from '../byte-source.js'
import { readGgufForm } from './gguf-form.js'
import { readLegacyForm } from './legacy-form.js'
import type { ImportanceMatrix } from './types.js'

export type { CollectedCovariance, CollectedInput } from './covariance-form.js'
export {
  type CovarianceFile,
  type InputShape,
  type MatrixSums,
  readCovariance,
  readSums,
  type SumsPlace,
} from './covariance-reader.js'
export { randomSigns, scramble } from './signs.js'
export type { ImportanceEntry, ImportanceMatrix } from './types.js'
export { type CollectedImportance, writeImportanceMatrix } from './writer.js'

/**
 * Reads an importance matrix in either of llama.cpp's forms, told apart by the first bytes.
 * @throws FormatError IMATRIX_INVALID, GGUF_INVALID, INPUT_TRUNCATED.
 */
export async function readImportanceMatrix(source: ByteSource): Promise<ImportanceMatrix> {
  const magic = await source.slice(0, Math.min(4, source.byteLength))
  return new TextDecoder().decode(magic) === 'GGUF' ? readGgufForm(source) : readLegacyForm(source)
}
