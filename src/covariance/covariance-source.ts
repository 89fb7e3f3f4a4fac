import { type ByteSource, fileSource } from '../../formats/byte-source.js'
import type { Covariance } from '../../formats/ggml/covariance.js'
import { kernelLinearAlgebra } from '../../formats/ggml/linear-algebra.js'
import { readSums, type SumsPlace } from '../../formats/imatrix/index.js'
import type { Recipe } from '../recipe/index.js'
import { type EmbeddingReaders, type Evaluate, embeddingCovariance } from './embedding-covariance.js'
import { type Expansion, expandSums } from './expand-sums.js'
import { placeCovariance } from './place-covariance.js'
import { scaleCovariance } from './scale-covariance.js'
import { addUses, outputPower, rowPower } from './tied-covariance.js'

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
      readonly uses: readonly SourceUse[]
      /** What is added to the rows of the weight before some of the uses read them. */
      readonly added?: AddedOutput | undefined
    }
  /** Of a widened model, from that of the model before: see placeCovariance. */
  | { readonly kind: 'placed'; readonly source: CovarianceSource; readonly runs: readonly number[]; readonly columns: number }
  /** Of a model with scales moved, from that of the model before: see scaleCovariance. */
  | { readonly kind: 'scaled'; readonly source: CovarianceSource; readonly exponents: Int8Array }

interface SourceUse {
  readonly source: CovarianceSource
  readonly share: number
  /** By what part of the sum of rows and `added` the share is multiplied: that of the rows or that of what is added; by default by none. */
  readonly times?: 'rows' | 'added'
}

/** The output of a matrix whose inputs are known. */
interface AddedOutput {
  readonly weight: Recipe
  readonly input: CovarianceSource
}

/**
 * Makes a covariance.
 * @param evaluate gives rows of the model's weights.
 * @throws FormatError IMATRIX_INVALID, INPUT_TRUNCATED.
 */
export async function covarianceFrom(source: CovarianceSource, evaluate: Evaluate): Promise<Covariance> {
  switch (source.kind) {
    case 'known':
      return source.covariance
    case 'sums': {
      const sums = await withFile(source.place.file, (file) => readSums(file, source.place))
      return expandSums(sums, source.expansion, sums.sketch && (await kernelLinearAlgebra()))
    }
    case 'readers':
      return await embeddingCovariance(source.readers, evaluate)
    case 'uses': {
      const uses = []
      const part = await rowsPart(source.weight, source.added, evaluate)
      for (const { source: use, share, times } of source.uses) {
        const factor = times === undefined ? 1 : times === 'rows' ? part : 1 - part
        if (share * factor > 0) uses.push({ covariance: await covarianceFrom(use, evaluate), share: share * factor })
      }
      return await addUses(uses, source.weight, evaluate)
    }
    case 'scaled':
      return scaleCovariance(await covarianceFrom(source.source, evaluate), source.exponents)
    case 'placed':
      return placeCovariance(await covarianceFrom(source.source, evaluate), source.runs, source.columns)
  }
}

/** The part of rows in the power of the sum of rows and of what is added to them; 0 where that is not known. */
async function rowsPart(rows: Recipe, added: AddedOutput | undefined, evaluate: Evaluate): Promise<number> {
  if (added === undefined) return 0
  const own = await rowPower(rows, evaluate)
  const others = await outputPower(added.weight, await covarianceFrom(added.input, evaluate), evaluate)
  return own + others > 0 ? own / (own + others) : 0
}

async function withFile<T>(path: string, use: (file: ByteSource) => Promise<T>): Promise<T> {
  const file = await fileSource(path)
  try {
    return await use(file)
  } finally {
    await file.close()
  }
}
