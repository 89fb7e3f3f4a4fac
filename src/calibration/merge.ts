import { type ByteSource, fileSource } from '../../formats/byte-source.js'
import {
  type CollectedCovariance,
  type CollectedImportance,
  type CovarianceFile,
  type ImportanceMatrix,
  readCovariance,
  writeImportanceMatrix,
} from '../../formats/imatrix/index.js'
import { MqError } from '../errors/index.js'
import { checkTarget } from '../files/index.js'
import { mergeCovariances } from './merge-covariance.js'
import { readMatrix } from './read-matrix.js'

/** Report of a merge. */
export interface MergeReport {
  readonly output: string
  readonly files: readonly string[]
  readonly tensors: number
  readonly chunks: number
  readonly datasets: readonly string[]
  /** Inputs of which covariances were added up; 0 where not every file has them. */
  readonly inputs: number
  /** Files without covariances. */
  readonly withoutCovariance: number
}

/** Chunk length assumed for files in the old format, in tokens. */
const legacyChunkLength = 512

interface Sums {
  readonly sums: Float64Array
  readonly counts: number[]
}

/**
 * Merges importance matrices of one model: sums and counts are added, so that each text is weighted by its tokens. For files in the old format, which
 * count chunks, chunks of 512 tokens are assumed, llama-imatrix's default. Covariances are merged where every file has them.
 * @throws MqError IMPORTANCE_MISMATCH where two do not belong to one model; CALIBRATION_MISMATCH where their covariances have different ranks; OUTPUT_EXISTS, FILE_UNWRITABLE; as readMatrix does.
 */
export async function mergeMatrices(
  files: readonly string[],
  output: string,
  { force = false }: { readonly force?: boolean } = {},
): Promise<MergeReport> {
  return merge(files, output, { force, isOneText: false })
}

/**
 * Adds up what was collected on the groups of one text, in their order: the text is named once, and of held-out rows are as many as one group
 * keeps.
 * @param files one for each of chunkGroups. @throws as mergeMatrices does.
 */
export async function mergeGroups(
  files: readonly string[],
  output: string,
  { force = false }: { readonly force?: boolean } = {},
): Promise<MergeReport> {
  return merge(files, output, { force, isOneText: true })
}

async function merge(
  files: readonly string[],
  output: string,
  { force, isOneText }: { readonly force: boolean; readonly isOneText: boolean },
): Promise<MergeReport> {
  await checkTarget(output, [], force)
  const total = new Map<string, Sums>()
  const datasets: string[] = []
  let tokens = 0
  let chunkLength = 0
  for (const file of files) {
    const matrix = await readMatrix(file)
    addTo(total, matrix, file)
    datasets.push(...matrix.datasets.filter((name) => !isOneText || !datasets.includes(name)))
    const length = matrix.chunkLength ?? legacyChunkLength
    tokens += matrix.chunks * length
    chunkLength = Math.max(chunkLength, length)
  }
  const chunks = chunkLength === 0 ? 0 : Math.round(tokens / chunkLength)
  const entries: CollectedImportance['entries'] = new Map(
    [...total].map(([name, { sums, counts }]) => [name, { sums: Float32Array.from(sums), counts }]),
  )
  const { covariance, withoutCovariance } = await covarianceOf(files, isOneText)
  await writeImportanceMatrix(output, { entries, datasets, chunks, chunkLength, covariance })
  const inputs = covariance?.inputs.size ?? 0
  return { output, files, tensors: entries.size, chunks, datasets, inputs, withoutCovariance }
}

async function covarianceOf(
  files: readonly string[],
  isOneText: boolean,
): Promise<{ readonly covariance?: CollectedCovariance; readonly withoutCovariance: number }> {
  const sources: ByteSource[] = []
  try {
    const found: [string, CovarianceFile][] = []
    for (const path of files) {
      const source = await fileSource(path)
      sources.push(source)
      const file = await readCovariance(source)
      if (file !== undefined) found.push([source.name, file])
    }
    const withoutCovariance = files.length - found.length
    return withoutCovariance > 0
      ? { withoutCovariance }
      : { covariance: await mergeCovariances(found, isOneText), withoutCovariance }
  } finally {
    for (const source of sources) await source.close()
  }
}

function addTo(total: Map<string, Sums>, { entries, chunkLength }: ImportanceMatrix, file: string): void {
  const factor = chunkLength === undefined ? legacyChunkLength : 1
  for (const [tensor, { meanSquares, counts }] of entries) {
    const found = total.get(tensor) ?? { sums: new Float64Array(meanSquares.length), counts: counts.map(() => 0) }
    if (found.sums.length !== meanSquares.length || found.counts.length !== counts.length) {
      const [own, others] = [found, { sums: meanSquares, counts }].map(
        ({ sums, counts }) => `${sums.length} values for ${counts.length} matrices`,
      )
      throw MqError.of('IMPORTANCE_MISMATCH', { tensor, problem: `${file} has ${others}, but the files before it have ${own}` })
    }
    const columns = meanSquares.length / counts.length
    for (let index = 0; index < meanSquares.length; index += 1) {
      const count = factor * (counts[Math.floor(index / columns)] as number)
      found.sums[index] = (found.sums[index] as number) + count * (meanSquares[index] as number)
    }
    for (const [matrix, count] of counts.entries()) found.counts[matrix] = (found.counts[matrix] as number) + factor * count
    total.set(tensor, found)
  }
}

/** The report as a user reads it on the terminal. */
export function mergeText({ output, files, tensors, chunks, inputs, withoutCovariance }: MergeReport): string {
  const lines = [`${output}: ${files.length} files merged, ${tensors} tensors, ${chunks} chunks.`]
  if (inputs > 0) lines.push(`Covariances of ${inputs} inputs were merged, too.`)
  else if (withoutCovariance < files.length) lines.push(`Covariances were dropped: ${withoutCovariance} of the files have none.`)
  return lines.join('\n')
}
