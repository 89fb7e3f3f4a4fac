import type { CovarianceGroup } from '../protocol.js'
import type { SurveyedInput } from './input-survey.js'

/** How the covariance of one input is kept. A sketch of 0 columns is the diagonal alone. */
export type Form = { readonly kind: 'whole' } | { readonly kind: 'sketch'; readonly width: number }

/** Rows up to this length are kept whole: their n^2 / 2 numbers are fewer than eight times those of a sketch. */
const wholeColumns = 1024
/** Default rank of wider inputs. */
const autoRank = 64
/**
 * Columns of a sketch for each unit of rank (oversampling). With three, error feedback leaves 1 to 4 % more error than with the exact
 * eigenvectors, with two 3 to 7 %, with one 13 to 21 %; see docs/decisions/0010-calibration.md.
 */
const oversampling = 3
/** Smallest useful number of columns of a sketch. */
const minWidth = 16

/** Rank of inputs whose covariance is not full. */
export function rankOf(rank: number | 'auto'): number {
  return rank === 'auto' ? autoRank : rank
}

/**
 * Chooses forms that fit into the memory limit together. Ranks are lowered first for inputs of single experts (many, with few tokens), then
 * for those of heads, then for all others, the largest first.
 * @param rank of every input; `auto`: by its width. @param memory bytes of all sums.
 */
export function planCovariance(
  inputs: ReadonlyMap<string, SurveyedInput>,
  { rank, memory }: { readonly rank: number | 'auto'; readonly memory: number },
): ReadonlyMap<string, Form> {
  const forms = new Map([...inputs].map(([key, input]) => [key, firstForm(input, rank)]))
  const size = (key: string): number => formBytes(inputs.get(key) as SurveyedInput, forms.get(key) as Form)
  let total = [...inputs.keys()].reduce((sum, key) => sum + size(key), 0)
  const orders = [
    (input: SurveyedInput) => input.routed,
    (input: SurveyedInput) => !input.routed && input.matrices > 1,
    (input: SurveyedInput) => input.matrices === 1,
  ]
  for (const belongs of orders) {
    const members = [...inputs].filter(([, input]) => belongs(input)).map(([key]) => key)
    while (total > memory) {
      const largest = Math.max(...members.map(size))
      const smaller = members
        .filter((key) => size(key) === largest)
        .map((key) => [key, lesser(inputs.get(key) as SurveyedInput, forms.get(key) as Form)] as const)
      if (smaller.every(([, form]) => form === undefined)) break
      for (const [key, form] of smaller) {
        if (form === undefined || total <= memory) continue
        total -= size(key)
        forms.set(key, form)
        total += size(key)
      }
    }
  }
  return forms
}

function firstForm({ columns }: SurveyedInput, rank: number | 'auto'): Form {
  // the kernels take columns by eights, and error feedback by 32
  if (columns % 32 !== 0) return { kind: 'sketch', width: 0 }
  if (rank === 'auto' && columns <= wholeColumns) return { kind: 'whole' }
  const width = oversampling * rankOf(rank)
  return 2 * width >= columns ? { kind: 'whole' } : { kind: 'sketch', width: 8 * Math.ceil(width / 8) }
}

/** The next smaller form; undefined for the smallest. */
function lesser({ columns }: SurveyedInput, form: Form): Form | undefined {
  if (form.kind === 'sketch' && form.width === 0) return undefined
  const most = form.kind === 'whole' ? Math.floor(columns / 2) : form.width / 2
  const width = 8 * Math.floor(Math.min(most, oversampling * autoRank) / 8)
  return { kind: 'sketch', width: width < minWidth ? 0 : width }
}

/** Bytes of the sums of one input. */
export function formBytes({ columns, matrices }: SurveyedInput, form: Form): number {
  return 4 * matrices * (form.kind === 'whole' ? (columns * (columns + 1)) / 2 : columns * (form.width + 1))
}

/** The chosen forms, grouped by kind of input. */
export function describePlan(
  inputs: ReadonlyMap<string, SurveyedInput>,
  forms: ReadonlyMap<string, Form>,
  wanted: number | 'auto',
): CovarianceGroup[] {
  const groups = new Map<string, CovarianceGroup>()
  for (const [key, input] of inputs) {
    const form = forms.get(key) as Form
    const { columns, matrices, routed } = input
    const kept = form.kind === 'whole' ? columns : Math.min(rankOf(wanted), form.width)
    const id = `${columns} ${matrices} ${routed} ${kept}`
    const found = groups.get(id)
    const inputsSoFar = found?.inputs ?? 0
    const bytes = (found?.bytes ?? 0) + formBytes(input, form)
    const first = firstForm(input, wanted)
    const why =
      columns % 32 !== 0
        ? 'column count is no multiple of 32'
        : formBytes(input, first) > formBytes(input, form)
          ? 'lowered to fit the memory limit'
          : form.kind === 'whole'
            ? 'narrow enough for the full covariance'
            : wanted === 'auto'
              ? 'default for wide inputs'
              : 'as asked'
    const kind = routed ? 'experts' : matrices > 1 ? 'heads' : 'shared'
    groups.set(id, {
      columns,
      matrices,
      kind,
      form: form.kind === 'sketch' && form.width === 0 ? 'diagonal' : form.kind,
      rank: kept,
      inputs: inputsSoFar + 1,
      bytes,
      why,
    })
  }
  return [...groups.values()]
}
