import { fileSource } from '../../formats/byte-source.js'
import { type ImportanceMatrix, readImportanceMatrix } from '../../formats/imatrix/index.js'
import { MqError } from '../errors.js'

/** Reads an importance matrix in either of its forms. @throws MqError FILE_MISSING; FormatError IMATRIX_INVALID, GGUF_INVALID. */
export async function readMatrix(path: string): Promise<ImportanceMatrix> {
  const source = await fileSource(path).catch((error: unknown) => {
    throw MqError.from(error, path)
  })
  try {
    return await readImportanceMatrix(source)
  } finally {
    await source.close()
  }
}
