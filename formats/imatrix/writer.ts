import { type Metadata, writeGguf } from '../gguf/index.js'
import { type CollectedCovariance, covarianceMetadata } from './covariance-form.js'
import { covarianceTensors } from './covariance-writer.js'
import { countsSuffix, sumsSuffix } from './gguf-form.js'

/** An importance matrix as it is collected. */
export interface CollectedImportance {
  /** Weight -> sum of x^2 of each column of its inputs, one run of columns after the other for a stack, and tokens seen. */
  readonly entries: ReadonlyMap<string, { readonly sums: Float32Array; readonly counts: readonly number[] }>
  /** Names of the calibration texts. */
  readonly datasets: readonly string[]
  readonly chunks: number
  /** Tokens of a chunk. */
  readonly chunkLength: number
  /** Input covariances, if they were collected. */
  readonly covariance?: CollectedCovariance
}

/**
 * Writes an importance matrix in the GGUF form; see readGgufForm, and covariance-form.ts for covariances. Weights
 * stand in the order of their names.
 * Source: IMatrixCollector::save_imatrix in tools/imatrix/imatrix.cpp of llama.cpp.
 */
export async function writeImportanceMatrix(
  path: string,
  { entries, datasets, chunks, chunkLength, covariance }: CollectedImportance,
): Promise<void> {
  const metadata: Metadata = new Map([
    ['general.type', { type: 'string', value: 'imatrix' }],
    ['imatrix.datasets', { type: 'array', elementType: 'string', value: [...datasets] }],
    ['imatrix.chunk_count', { type: 'uint32', value: chunks }],
    ['imatrix.chunk_size', { type: 'uint32', value: chunkLength }],
    ...(covariance === undefined ? [] : covarianceMetadata(covariance)),
  ])
  const tensors = [...entries]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([name, { sums, counts }]) => [
      tensor(`${name}${sumsSuffix}`, [sums.length / counts.length, counts.length], sums),
      tensor(`${name}${countsSuffix}`, [1, counts.length], Float32Array.from(counts)),
    ])
  await writeGguf(path, metadata, covariance === undefined ? tensors : [...tensors, ...covarianceTensors(covariance)])
}

function tensor(name: string, dimensions: readonly number[], values: Float32Array) {
  return { name, dimensions, type: 'F32' as const, data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) }
}
