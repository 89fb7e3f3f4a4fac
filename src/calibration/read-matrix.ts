import { type ByteSource, fileSource } from '../../formats/byte-source.js'
import { type CovarianceFile, type ImportanceMatrix, readCovariance, readImportanceMatrix } from '../../formats/imatrix/index.js'
import { MqError } from '../errors/index.js'

/** Reads an importance matrix in either of its formats. @throws MqError FILE_MISSING; FormatError IMATRIX_INVALID, GGUF_INVALID. */
export async function readMatrix(path: string): Promise<ImportanceMatrix> {
  return await withMatrix(path, async ({ matrix }) => matrix)
}

/** An importance matrix, and its covariances while the file is open. */
export interface OpenMatrix {
  readonly matrix: ImportanceMatrix
  readonly covariance: CovarianceFile | undefined
}

/** Opens an importance matrix for as long as `use` takes. @throws as readMatrix does, and what `use` throws. */
export async function withMatrix<Result>(path: string, use: (open: OpenMatrix) => Promise<Result>): Promise<Result> {
  const source: ByteSource = await fileSource(path).catch((error: unknown) => {
    throw MqError.from(error, path)
  })
  try {
    return await use({ matrix: await readImportanceMatrix(source), covariance: await readCovariance(source) })
  } finally {
    await source.close()
  }
}
