import { type ByteSource, fileSource } from '../../formats/byte-source.js'
import type { Covariance } from '../../formats/ggml/covariance.js'
import { readSums, type SumsPlace } from '../../formats/imatrix/index.js'
import type { Recipe } from '../recipe/index.js'
import { type EmbeddingReaders, type Evaluate, embeddingCovariance } from './embedding-covariance.js'
import { type Expansion, expandSums } from './expand-sums.js'
import { placeCovariance } from './place-covariance.js'
import { addUses } from './tied-covariance.js'

/** The source of a covariance, as data, so that any thread can compute it. */
export type CovarianceSource =
  | { readonly kind: 'known'; readonly covariance: Covariance }
  | { readonly kind: 'sums'; readonly place: SumsPlace; readonly expansion: Expansion }
  /** Of the embedding: weights in the model's files. */
  | { readonly kind: 'readers'; readonly readers: EmbeddingReaders }
  /** Of a weight that is used in several places, each with its part of the damage. */
  | {
      readonly kind: 'uses'
      readonly weight: Recipe
      readonly uses: readonly { readonly source: CovarianceSource; readonly share: number }[]
    }
  /** Of a widened model, from that of the model before: see placeCovariance. */
  | { readonly kind: 'placed'; readonly source: CovarianceSource; readonly runs: readonly number[]; readonly columns: number }

/**
 * Makes a covariance.
 * @param evaluate gives rows of the model's weights.
 * @throws FormatError IMATRIX_INVALID, INPUT_TRUNCATED.
 */
export async function covarianceFrom(source: CovarianceSource, evaluate: Evaluate): Promise<Covariance> {
  switch (source.kind) {
    case 'known':
      return source.covariance
    case 'sums':
      return expandSums(await withFile(source.place.file, (file) => readSums(file, source.place)), source.expansion)
    case 'readers':
      return await embeddingCovariance(source.readers, evaluate)
    case 'uses': {
      const uses = []
      for (const { source: use, share } of source.uses) uses.push({ covariance: await covarianceFrom(use, evaluate), share })
      return await addUses(uses, source.weight, evaluate)
    }
    case 'placed':
      return placeCovariance(await covarianceFrom(source.source, evaluate), source.runs, source.columns)
  }
}

async function withFile<T>(path: string, use: (file: ByteSource) => Promise<T>): Promise<T> {
  const file = await fileSource(path)
  try {
    return await use(file)
  } finally {
    await file.close()
  }
}
