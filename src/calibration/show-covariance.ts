import type { CovarianceFile, InputShape } from '../../formats/imatrix/index.js'
import { expandSums } from '../covariance/index.js'
import { formatCount, formatTable } from '../terminal/index.js'
import { expansionOf, pooledSquares } from './covariance.js'

/** Statistics of one input covariance. */
export interface InputStatistics {
  /** The first tensor that it is the input of. */
  readonly input: string
  /** Number of tensors that share it. */
  readonly weights: number
  readonly columns: number
  /** Matrices, experts or heads, that have inputs of their own. */
  readonly matrices: number
  readonly form: InputShape['form']
  /** Rank; `columns` where the covariance is full. */
  readonly rank: number
  /** Share of the trace that the low-rank part has, over all matrices: 1 for a full covariance, 0 for a diagonal. */
  readonly share: number
  /** Tokens of all matrices together. */
  readonly tokens: number
  /** Tokens of the matrix with the fewest. */
  readonly leastTokens: number
  /** Held-out rows. */
  readonly rowsKept: number
}

/** Statistics of the covariances of a file, by input. */
export async function inputStatistics(file: CovarianceFile): Promise<InputStatistics[]> {
  const all: InputStatistics[] = []
  for (const [input, shape] of file.inputs) {
    const { columns, matrices, form, width, tokens, keptCounts } = shape
    all.push({
      input,
      weights: [...file.inputOf.values()].filter((name) => name === input).length,
      columns,
      matrices,
      form,
      rank: form === 'whole' ? columns : Math.min(file.rank, width),
      share: form === 'whole' ? 1 : await shareOf(file, input, shape),
      tokens: sum(tokens),
      leastTokens: Math.min(...tokens),
      rowsKept: sum(keptCounts),
    })
  }
  return all
}

async function shareOf(file: CovarianceFile, input: string, { matrices, form, tokens }: InputShape): Promise<number> {
  if (form === 'diagonal') return 0
  const pool = pooledSquares(file, input)
  let [held, rest] = [0, 0]
  for (let matrix = 0; matrix < matrices; matrix += 1) {
    const covariance = expandSums(await file.sums(input, matrix), await expansionOf(file, input, () => pool))
    if ('full' in covariance) continue
    const weight = tokens[matrix] as number
    held += weight * sum(Array.from(covariance.factors ?? [], (value) => value ** 2))
    rest += weight * sum(covariance.diagonal)
  }
  return held + rest > 0 ? held / (held + rest) : 0
}

function sum(values: Iterable<number>): number {
  let total = 0
  for (const value of values) total += value
  return total
}

/** The statistics as a user reads them on the terminal. */
export function inputsText(inputs: readonly InputStatistics[]): string {
  const rows = inputs.map(({ input, weights, columns, matrices, form, rank, share, tokens, leastTokens, rowsKept }) => [
    input,
    `${weights}`,
    `${columns}`,
    `${matrices}`,
    form === 'sketch' ? `rank ${rank}` : form === 'whole' ? 'full' : form,
    share.toFixed(3),
    formatCount(tokens),
    formatCount(leastTokens),
    `${rowsKept}`,
  ])
  const titles = ['tensors', 'columns', 'matrices', 'covariance', 'share of trace', 'tokens', 'least tokens', 'held-out rows']
  return formatTable([{ title: 'input of' }, ...titles.map((title) => ({ title, align: 'right' as const }))], rows)
}
