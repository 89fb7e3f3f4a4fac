import {
  type Bar,
  band,
  bars,
  chart,
  dots,
  type Frame,
  level,
  line,
  linear,
  logarithmic,
  type Markup,
  outline,
  type Point,
  percent,
  roundLinear,
  shortNumber,
  signedLogarithmic,
  upright,
} from '../report/index.js'
import type { Histogram, Profile } from './profile.js'
import type { VerifyReport } from './report.js'
import { moments } from './statistics.js'

/** A model as the plots show it; the first is the one that was asked about. */
export interface Charted {
  readonly name: string
  readonly divergence: NonNullable<VerifyReport['divergence']>
  readonly profile: Profile
}

/** How KL divergence is spread over the scored tokens. */
export function kldHistogram(models: readonly Charted[]): Markup {
  const all = models.map(({ profile }) => shares(profile.histograms.kld))
  const used = all.flatMap((one) => one.filter(({ value }) => value > 0))
  const [least, greatest] =
    used.length === 0 ? [1e-6, 1] : [Math.min(...used.map(({ from }) => from)), Math.max(...used.map(({ to }) => to))]
  const first = models[0]?.profile.histograms.kld
  const below = first === undefined ? 0 : first.below / totalOf(first)
  return chart({
    title: 'Distribution of KL divergence',
    description: `Distribution of the KL divergence over the scored tokens.${below > 0 ? ` ${percent(Number(below.toPrecision(3)))} are below the plot, where rounding is all there is.` : ''}`,
    x: { title: 'KL divergence, nats', scale: logarithmic(least, greatest) },
    y: { title: 'share of tokens', scale: roundLinear(0, Math.max(0, ...used.map(({ value }) => value)), percent, 4) },
    legend: models.map(({ name }) => name),
    marks: (frame) => [
      ...histograms(
        frame,
        all.map((one) => one.filter(({ from, to }) => from >= least && to <= greatest)),
      ),
      ...models.flatMap(({ divergence: { kld } }, index) => [
        upright(frame, kld.median, index === 0 ? 'median' : '', index + 1),
        upright(frame, kld.mean.value, index === 0 ? 'mean' : '', index + 1, 1),
        upright(frame, kld.quantiles['99'] ?? Number.NaN, index === 0 ? '99 %' : '', index + 1, 2),
      ]),
    ],
  })
}

/** Histogram of the change of the text tokens' probabilities. */
export function changeHistogram(models: readonly Charted[]): Markup {
  const all = models.map(({ profile }) => shares(profile.histograms.probabilityChange))
  const least = Math.max(...(models[0]?.profile.histograms.probabilityChange.edges.filter((edge) => edge < 0) ?? [-1e-5]))
  const greatest = Math.max(
    -least * 100,
    ...all
      .flat()
      .filter(({ value }) => value > 0)
      .flatMap(({ from, to }) => [-from, to]),
  )
  const edge = 10 ** Math.ceil(Math.log10(greatest) - 1e-9)
  return chart({
    title: 'Change of token probability',
    description:
      'Distribution over the scored tokens of the change of the text token’s probability, model minus reference; the axis is logarithmic in both directions.',
    x: { title: 'Δp', scale: signedLogarithmic(-least, edge, percent) },
    y: { title: 'share of tokens', scale: roundLinear(0, Math.max(...all.flat().map(({ value }) => value)), percent, 4) },
    legend: models.map(({ name }) => name),
    marks: (frame) =>
      histograms(
        frame,
        all.map((one) => one.filter(({ from, to }) => from >= -edge && to <= edge)),
      ),
  })
}

/** Mean divergence of each position of a chunk, and a running mean of these. */
export function positionChart(models: readonly Charted[]): Markup {
  const first = models[0]?.profile.positions.first ?? 0
  const count = models[0]?.profile.positions.kld.length ?? 0
  const reach = Math.max(1, Math.round(count / 32))
  const all = models.map(({ profile }) => profile.positions.kld.map((y, index) => ({ x: first + index, y })))
  const least = Math.max(0, Math.min(...all.flat().map(({ y }) => y)))
  const top = quantileOf(
    all.flat().map(({ y }) => y),
    0.995,
  )
  return chart({
    title: 'KL divergence by position',
    description: `Means over the chunks at each position (dots) and over ${2 * reach + 1} positions (line): shows drift with growing context.`,
    x: { title: 'tokens of context', scale: linear(first, first + count - 1, shortNumber, 6) },
    y: { title: 'KL divergence, nats', scale: roundLinear(least > top / 2 ? least : 0, top) },
    legend: models.map(({ name }) => name),
    marks: (frame) =>
      all.flatMap((points, index) => [
        ...dots(
          frame,
          points.filter(({ y }) => y <= top),
          index + 1,
          1.5,
        ),
        line(frame, runningMeans(points, reach), index + 1),
      ]),
  })
}

/** Mean divergence of each chunk, and the mean so far with its standard error. */
export function chunkChart(models: readonly Charted[], limit?: number): Markup {
  return byChunk(models, {
    title: 'KL divergence by chunk',
    description:
      'Means of each chunk of the text (dots), and of all chunks so far (line) with its standard error over the chunks.',
    unit: 'KL divergence, nats',
    of: ({ chunks }) => chunks.kld,
    ...(limit === undefined ? {} : { limit, limitName: 'gate' }),
  })
}

/** Perplexity over the reference's, chunk by chunk, and so far. */
export function perplexityChart(models: readonly Charted[], limit?: number): Markup {
  return byChunk(models, {
    title: 'Perplexity ratio by chunk',
    description:
      "The model's perplexity divided by the reference's in each chunk (dots), and over all chunks so far (line) with its standard error.",
    unit: 'perplexity ratio',
    of: ({ chunks }) =>
      chunks.negativeLogLikelihood.map((own, index) => own - (chunks.referenceNegativeLogLikelihood[index] ?? Number.NaN)),
    show: Math.exp,
    ...(limit === undefined ? { limit: 1, limitName: 'as the reference' } : { limit, limitName: 'gate' }),
  })
}

/** The first model's divergence less the second's, chunk by chunk, and so far with twice its standard error. */
export function differenceChart(first: Charted, second: Charted): Markup {
  const differences = first.profile.chunks.kld.map((own, index) => own - (second.profile.chunks.kld[index] ?? Number.NaN))
  const cumulative = cumulate(differences)
  const ends = [...differences, 0]
  return chart({
    title: 'Paired differences by chunk',
    description: `KL divergence of ${first.name} minus that of ${second.name} on the same chunk: below 0 the first is better. The line is the mean so far, the band two standard errors of it.`,
    x: { title: 'chunk', scale: linear(0.5, differences.length + 0.5, shortNumber, 8) },
    y: { title: 'difference, nats', scale: roundLinear(Math.min(...ends), Math.max(...ends)) },
    legend: [`${first.name} nearer`, `${second.name} nearer`],
    marks: (frame) => [
      ...(['s1', 's2'] as const).flatMap((_, side) =>
        bars(
          frame,
          differences
            .map(
              (value, index): Bar => ({
                from: index + 0.6,
                to: index + 1.4,
                value,
                title: `chunk ${index + 1}: ${shortNumber(value)}`,
              }),
            )
            .filter(({ value }) => (side === 0 ? value < 0 : value > 0)),
          side + 1,
        ),
      ),
      band(
        frame,
        cumulative.slice(1).map(({ x, y, error }) => ({ x, y: clip(y + 2 * error, ends) })),
        cumulative.slice(1).map(({ x, y, error }) => ({ x, y: clip(y - 2 * error, ends) })),
        0,
      ),
      line(frame, cumulative, 0),
    ],
  })
}

interface ChunkChart {
  readonly title: string
  readonly description: string
  readonly unit: string
  readonly of: (profile: Profile) => readonly number[]
  readonly show?: (value: number) => number
  readonly limit?: number
  readonly limitName?: string
}

function byChunk(
  models: readonly Charted[],
  { title, description, unit, of, show = (value) => value, limit, limitName = '' }: ChunkChart,
): Markup {
  const all = models.map(({ profile }) => of(profile))
  const shown = all.flat().map(show)
  // a limit far away would leave no room for what was measured
  const near = limit === undefined || limit > 3 * Math.max(...shown) ? [] : [limit]
  const ends = [...shown, ...near]
  return chart({
    title,
    description,
    x: { title: 'chunk', scale: linear(1, Math.max(2, all[0]?.length ?? 2), shortNumber, 8) },
    y: { title: unit, scale: roundLinear(Math.min(...ends), Math.max(...ends)) },
    legend: models.map(({ name }) => name),
    marks: (frame) => [
      ...near.map((value) => level(frame, value, `${limitName} ${shortNumber(value)}`)),
      ...all.flatMap((values, index) => {
        const cumulative = cumulate(values)
        const edge = (side: number): Point[] =>
          cumulative.slice(1).map(({ x, y, error }) => ({ x, y: clip(show(y + side * error), ends) }))
        return [
          ...dots(
            frame,
            values.map((value, chunk) => ({
              x: chunk + 1,
              y: show(value),
              title: `chunk ${chunk + 1}: ${shortNumber(show(value))}`,
            })),
            index + 1,
          ),
          band(frame, edge(1), edge(-1), index + 1),
          line(
            frame,
            cumulative.map(({ x, y }) => ({ x, y: show(y) })),
            index + 1,
          ),
        ]
      }),
    ],
  })
}

/** Means of the first 1, 2, 3 ... values, and the standard errors of these. */
function cumulate(values: readonly number[]): (Point & { readonly error: number })[] {
  return values.map((_, index) => {
    const { mean, standardErrorOfMean } = moments(index + 1, (at) => values[at] as number)
    return { x: index + 1, y: mean, error: standardErrorOfMean }
  })
}

function runningMeans(points: readonly Point[], reach: number): Point[] {
  return points.map(({ x }, index) => {
    const near = points.slice(Math.max(0, index - reach), index + reach + 1)
    return { x, y: near.reduce((sum, { y }) => sum + y, 0) / near.length }
  })
}

function histograms(frame: Frame, all: readonly (readonly Bar[])[]): Markup[] {
  return all.flatMap((one, index) => (index === 0 ? bars(frame, one, 1) : [outline(frame, one, index + 1)]))
}

function shares(histogram: Histogram): Bar[] {
  const total = totalOf(histogram)
  return histogram.counts.map((count, index) => {
    const [from, to] = [histogram.edges[index] ?? 0, histogram.edges[index + 1] ?? 0]
    return { from, to, value: count / total, title: `${shortNumber(from)} to ${shortNumber(to)}: ${count} tokens` }
  })
}

function totalOf({ counts, below, above }: Histogram): number {
  return counts.reduce((sum, count) => sum + count, below + above)
}

function quantileOf(values: readonly number[], part: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(part * (values.length - 1))] ?? 0
}

function clip(value: number, ends: readonly number[]): number {
  return Math.min(Math.max(value, Math.min(...ends)), Math.max(...ends))
}
