import type { CovarianceFile, InputShape } from '../../formats/imatrix/index.js'
import { diagonalOf, type Expansion } from '../covariance/index.js'

/**
 * Weight, in tokens, of the pooled diagonal of all experts, added to an expert's own tokens: the covariance of an expert with few tokens is shrunk
 * towards the pooled diagonal.
 */
const siblingTokens = 16

/** Mean squares over all matrices of an input together. */
export interface PooledInputs {
  readonly means: Float64Array
  readonly tokens: number
}

/** Mean squares of an input's columns over all its matrices. */
export async function pooledSquares(file: CovarianceFile, name: string): Promise<PooledInputs> {
  const { columns, matrices, tokens } = shapeOf(file, name)
  const total = tokens.reduce((sum, count) => sum + count, 0)
  const means = new Float64Array(columns)
  for (let matrix = 0; matrix < matrices; matrix += 1) {
    const squares = diagonalOf(await file.squares(name, matrix), columns)
    for (let i = 0; i < columns; i += 1) means[i] = (means[i] as number) + (total > 0 ? (squares[i] as number) / total : 0)
  }
  return { means, tokens: total }
}

/** How the sums over the inputs of one matrix become a covariance. */
export async function expansionOf(
  file: CovarianceFile,
  name: string,
  pooled: (name: string) => Promise<PooledInputs>,
): Promise<Expansion> {
  const { columns, matrices, width } = shapeOf(file, name)
  const known = { columns, width, seed: file.seed, rank: file.rank }
  return matrices === 1 ? known : { ...known, siblings: { means: (await pooled(name)).means, tokens: siblingTokens } }
}

function shapeOf(file: CovarianceFile, name: string): InputShape {
  const found = file.inputs.get(name)
  if (found === undefined) throw new RangeError(`no input ${name}`)
  return found
}
