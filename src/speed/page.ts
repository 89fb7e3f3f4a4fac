import {
  chart,
  labels,
  linear,
  type Markup,
  page,
  points,
  roundLinear,
  section,
  shortNumber,
  table,
  whiskers,
} from '../report/index.js'
import { formatBytes } from '../terminal/index.js'
import type { ModelSpeed, SpeedReport } from './measure.js'

/** The report as a page: a plot of speed against size for each test, and the table. */
export function speedPage(report: SpeedReport): string {
  const models = [...report.models, ...(report.against === undefined ? [] : [report.against])]
  const tests = [...new Set(models.flatMap(({ speeds }) => speeds.map(({ test }) => test)))]
  const rows = models.flatMap(({ model, sizeBytes, kld, speeds }) =>
    speeds.map(({ test, tokensPerSecond, deviation }) => [
      model,
      formatBytes(sizeBytes),
      kld === undefined ? '' : `${kld.value.toPrecision(4)} ± ${kld.standardError.toPrecision(2)}`,
      test,
      tokensPerSecond.toFixed(2),
      deviation.toFixed(2),
    ]),
  )
  return page('Speed', [
    section('Speed', ...tests.map((test) => plot(models, test))),
    section(
      'Figures',
      table(
        ['model', 'size', 'mean KL divergence', 'test', 'tokens/s', '±'].map((title) => ({ title, left: title === 'test' })),
        rows.map((cells) => ({ cells })),
      ),
    ),
  ])
}

function plot(models: readonly ModelSpeed[], test: string): Markup {
  const measured = models.flatMap(({ model, sizeBytes, kld, speeds }) => {
    const speed = speeds.find((one) => one.test === test)
    if (speed === undefined) return []
    const { tokensPerSecond, deviation } = speed
    const divergence = kld === undefined ? '' : `, KL divergence ${shortNumber(kld.value)}`
    const title = `${model}: ${formatBytes(sizeBytes)}, ${shortNumber(tokensPerSecond)} ± ${shortNumber(deviation)} tokens/s${divergence}`
    return [{ x: sizeBytes, y: tokensPerSecond, error: deviation, title, words: model }]
  })
  const sizes = measured.map(({ x }) => x)
  const room = Math.max(Math.max(...sizes) - Math.min(...sizes), 0.1 * Math.max(...sizes))
  return chart({
    title: test,
    description: 'Tokens per second by size. Whiskers are standard deviations.',
    x: {
      title: 'size of the weights',
      scale: linear(Math.max(0, Math.min(...sizes) - 0.06 * room), Math.max(...sizes) + 0.16 * room, formatBytes, 6),
    },
    y: { title: 'tokens/s', scale: roundLinear(0, Math.max(...measured.map(({ y, error }) => y + error))) },
    width: 1080,
    height: 380,
    isWide: true,
    marks: (frame) => [
      ...measured.flatMap((one) => whiskers(frame, one, 1)),
      ...points(frame, measured, 1, true),
      ...labels(
        frame,
        measured.map((one) => ({ ...one, isBack: false })),
      ),
    ],
  })
}
