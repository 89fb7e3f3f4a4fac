import { changePercentages, kldPercentages } from './divergence.js'
import type { VerifyReport } from './report.js'
import type { Estimate } from './statistics.js'

/** A figure of a report. */
export interface Figure {
  readonly value: number
  readonly standardError?: number
  /** Degrees of freedom of the standard error. */
  readonly degrees?: number
}

interface FigureKind {
  /** The name in a sentence. */
  readonly label: string
  /** undefined where the report has none. */
  readonly of: (report: VerifyReport) => Figure | undefined
}

const ofTokens = (estimate: Estimate | undefined, { text }: VerifyReport): Figure | undefined =>
  estimate === undefined ? undefined : { ...estimate, degrees: text.scoredTokens - 1 }

const plain = (value: number | undefined): Figure | undefined => (value === undefined ? undefined : { value })

/** Median, quantiles and ends of a spread, under names that begin with `prefix`. */
function spreadFigures(
  prefix: string,
  label: string,
  percentages: readonly number[],
  of: (report: VerifyReport) => NonNullable<VerifyReport['divergence']>['kld'] | undefined,
): readonly (readonly [string, FigureKind])[] {
  const quantile = (percentage: number, report: VerifyReport): Figure | undefined => {
    const spread = of(report)
    const value = percentage === 50 ? spread?.median : spread?.quantiles[percentage]
    if (spread === undefined || value === undefined) return undefined
    const standardError = spread.quantileErrors?.[percentage]
    return standardError === undefined ? { value } : ofTokens({ value, standardError }, report)
  }
  return [
    [`${prefix}.mean`, { label: `mean ${label}`, of: (report) => ofTokens(of(report)?.mean, report) }],
    [`${prefix}.median`, { label: `median ${label}`, of: (report) => quantile(50, report) }],
    [`${prefix}.min`, { label: `minimum ${label}`, of: (report) => plain(of(report)?.minimum) }],
    [`${prefix}.max`, { label: `maximum ${label}`, of: (report) => plain(of(report)?.maximum) }],
    ...percentages.map(
      (percentage) =>
        [
          `${prefix}.q${percentage}`,
          { label: `${percentage} % quantile of ${label}`, of: (report: VerifyReport) => quantile(percentage, report) },
        ] as const,
    ),
  ]
}

/** Whether a figure is written as per cent. */
export function isShare(name: string): boolean {
  return name.startsWith('dp.') || name === 'same-top' || name === 'correlation'
}

/** Every figure that a gate can limit, by name. */
export const figures: ReadonlyMap<string, FigureKind> = new Map<string, FigureKind>([
  ['ppl', { label: 'perplexity', of: (report) => ofTokens(report.perplexity, report) }],
  ['ppl-ratio', { label: 'perplexity ratio', of: (report) => ofTokens(report.perplexityRatio, report) }],
  ...spreadFigures('kld', 'KL divergence', kldPercentages, ({ divergence }) => divergence?.kld),
  ...spreadFigures('dp', 'change of probability', changePercentages, ({ divergence }) => divergence?.probabilityChange),
  [
    'dp.rms',
    {
      label: 'root mean square change of probability',
      of: (report) => ofTokens(report.divergence?.probabilityChange.rootMeanSquare, report),
    },
  ],
  ['same-top', { label: 'share of same top tokens', of: (report) => ofTokens(report.divergence?.sameTop, report) }],
  ['correlation', { label: 'correlation of ln p', of: ({ divergence }) => plain(divergence?.correlation) }],
  [
    'versus.kld',
    {
      label: 'mean KL divergence minus that of the other model',
      of: ({ versus, text }) => (versus === undefined ? undefined : { ...versus.difference.kld, degrees: text.chunks - 1 }),
    },
  ],
  ['bits', { label: 'bits per weight', of: ({ bitsPerWeight }) => plain(bitsPerWeight) }],
  ['size', { label: 'size in bytes', of: ({ files }) => plain(files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)) }],
])
