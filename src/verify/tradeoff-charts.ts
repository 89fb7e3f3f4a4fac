import {
  type Axis,
  chart,
  labels,
  line,
  linear,
  logarithmic,
  type Markup,
  type Point,
  percent,
  points,
  roundLinear,
  type Scale,
  shortNumber,
  whiskers,
} from '../report/index.js'
import { formatBytes } from '../terminal/index.js'
import type { ComparedModel } from './compare.js'
import type { Estimate } from './statistics.js'

/** A model of the plot of {@link kldTradeoff}. */
export type PlottedModel = Pick<ComparedModel, 'name' | 'sizeBytes' | 'onFront'> & {
  readonly divergence: { readonly kld: { readonly mean: Estimate } }
}

/** Size against mean KL divergence, with the Pareto front. */
export function kldTradeoff(models: readonly PlottedModel[]): Markup {
  const values = models.map(({ divergence }) => divergence.kld.mean.value).filter((value) => value > 0)
  const [least, greatest] = [Math.min(...values), Math.max(...values)]
  return tradeoff(models, {
    title: 'KL divergence',
    description: 'Filled: Pareto-optimal, joined by the line. Hollow: dominated by another model. Whiskers are standard errors.',
    y: {
      title: 'mean KL divergence, nats',
      scale: values.length === 0 ? linear(0, 1) : logarithmic(least / 1.5, greatest * 1.5),
    },
    of: ({ divergence }) => divergence.kld.mean,
    front: true,
  })
}

/** Size against perplexity over the reference's. */
export function perplexityTradeoff(models: readonly ComparedModel[]): Markup {
  const values = models.map(({ perplexityRatio }) => perplexityRatio.value)
  return tradeoff(models, {
    title: 'Perplexity ratio',
    description: "The model's perplexity divided by the reference's; at 1 both predict this text equally well.",
    y: { title: 'perplexity ratio', scale: roundLinear(Math.min(1, ...values), Math.max(...values)) },
    of: ({ perplexityRatio }) => perplexityRatio,
  })
}

/** Size against the share of same top tokens. */
export function sameTopTradeoff(models: readonly ComparedModel[]): Markup {
  const values = models.map(({ divergence }) => divergence.sameTop.value)
  return tradeoff(models, {
    title: 'Same top token',
    description: 'Share of positions where model and reference have the same most likely token.',
    y: { title: 'same top token', scale: roundLinear(Math.min(...values), 1, percent) },
    of: ({ divergence }) => divergence.sameTop,
  })
}

interface Tradeoff<Model> {
  readonly title: string
  readonly description: string
  readonly y: Axis
  readonly of: (model: Model) => Estimate
  /** Joins the front, and takes the page's whole width. */
  readonly front?: boolean
}

function tradeoff<Model extends Pick<ComparedModel, 'name' | 'sizeBytes' | 'onFront'>>(
  models: readonly Model[],
  { title, description, y, of, front = false }: Tradeoff<Model>,
): Markup {
  const at = (model: Model): Point & { readonly title: string } => {
    const { value, standardError } = of(model)
    const figures = `${formatBytes(model.sizeBytes)}, ${shortNumber(value)} ± ${shortNumber(Number(standardError.toPrecision(2)))}`
    return { x: model.sizeBytes, y: value, title: `${model.name}: ${figures}` }
  }
  const [best, rest] = [models.filter(({ onFront }) => onFront), models.filter(({ onFront }) => !onFront)]
  return chart({
    title,
    description,
    x: { title: 'size of the file', scale: sizeScale(models.map(({ sizeBytes }) => sizeBytes)) },
    y,
    ...(front ? { width: 1080, height: 430, isWide: true } : {}),
    marks: (frame) => [
      ...(front ? [line(frame, best.map(at), 1)] : []),
      ...models.flatMap((model) => whiskers(frame, { ...at(model), error: of(model).standardError }, model.onFront ? 1 : 0)),
      ...points(frame, rest.map(at), 0, false),
      ...points(frame, best.map(at), 1, true),
      ...labels(
        frame,
        [...best, ...rest].map((model) => ({ ...at(model), words: model.name, isBack: !model.onFront })),
      ),
    ],
  })
}

/** Sizes by factors where the largest is far from the smallest. */
function sizeScale(sizes: readonly number[]): Scale {
  const [least, greatest] = [Math.min(...sizes), Math.max(...sizes)]
  if (greatest > 20 * least) return logarithmic(least / 1.3, greatest * 1.5, formatBytes)
  const room = Math.max(greatest - least, 0.1 * greatest)
  return linear(Math.max(0, least - 0.06 * room), greatest + 0.16 * room, formatBytes, 6)
}
