import { type Cell, type Markup, markup, section, table } from '../report/index.js'
import { formatBytes } from '../terminal/index.js'
import { isShare } from './figures.js'
import type { FileIdentity, VerifyReport } from './report.js'

/** A figure with its standard error; changes of probability and shares in per cent. */
export function figureText(name: string, value: number, standardError?: number): Cell {
  const [factor, unit] = isShare(name) ? [100, ' %'] : [1, '']
  const digits = name === 'size' ? 0 : isShare(name) ? 3 : name.startsWith('ppl') || name === 'bits' ? 4 : 6
  const show = (figure: number): string => (factor * figure).toFixed(digits).replace('-', '\u2212')
  if (standardError === undefined) return `${show(value)}${unit}`
  return markup`${show(value)} <span class="error">± ${Number.isFinite(standardError) ? show(standardError) : 'unknown'}${unit}</span>`
}

/** `99.31 %`, and never quite 100 %. */
export function confidenceText(confidence: number): string {
  return `${Math.min(100 * confidence, 99.99).toFixed(2)} %`
}

/** A model of modelTable. Where it was not measured, `onFront` is undefined and its figures are empty. */
export interface ModelRow {
  readonly name: string
  readonly sizeBytes: number
  readonly bitsPerWeight: number
  readonly onFront: boolean | undefined
  /** Mean KL divergence, its 99 % quantile, perplexity ratio, same top token. */
  readonly figures: readonly [Cell, Cell, Cell, Cell]
  /** Empty on the front. */
  readonly dominatedBy: string
}

/** Models against one reference, and which are Pareto-optimal. @param heading of the column of names. */
export function modelTable(heading: string, rows: readonly ModelRow[]): Markup {
  return table(
    [
      { title: heading },
      { title: 'size' },
      { title: 'bits/weight' },
      { title: 'mean KL divergence' },
      { title: '99 % quantile' },
      { title: 'perplexity ratio' },
      { title: 'same top token' },
      { title: 'dominated by', left: true },
    ],
    rows.map(({ name, sizeBytes, bitsPerWeight, onFront, figures, dominatedBy }) => ({
      isBack: onFront === false,
      cells: [
        name,
        formatBytes(sizeBytes).replace(' ', '\u00a0'),
        bitsPerWeight.toFixed(3),
        ...figures,
        onFront === true ? markup`<span class="passed-mark">Pareto-optimal</span>` : dominatedBy,
      ],
    })),
  )
}

/** Names, sizes and digests of files. */
export function identityFacts(files: readonly FileIdentity[], bitsPerWeight?: number): (readonly [string, Cell])[] {
  const total = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  return [
    [
      'size',
      files.length === 0
        ? undefined
        : `${formatBytes(total)} (${total} bytes${files.length > 1 ? ` in ${files.length} files` : ''})`,
    ],
    ['bits per weight', bitsPerWeight?.toFixed(4)],
    ...files.map(({ name, sha256 }): readonly [string, Cell] => ['file', markup`${name}<br/><code>sha256:${sha256}</code>`]),
  ]
}

/** Facts of the text. */
export function textFacts({
  name,
  sha256,
  contextLength,
  chunks,
  scoredTokens,
}: VerifyReport['text']): (readonly [string, Cell])[] {
  return [
    ['name', markup`${name}<br/><code>sha256:${sha256}</code>`],
    ['chunks', `${chunks} of ${contextLength} tokens`],
    ['scored', `${scoredTokens} tokens: the second half of each chunk`],
  ]
}

/** The command that creates the same page. */
export function repeatSection(command: string): Markup {
  return section(
    'Command',
    markup`<pre>${command}</pre><footer>Figures are those of llama-perplexity --kl-divergence, and so are their standard errors, over tokens; those of quantiles come from order statistics. Differences of two models are taken over chunks, whose tokens err together.</footer>`,
  )
}
