import { formatBytes, formatSeconds } from '../../terminal/index.js'
import { type GateResult, gateValue, limitText } from '../../verify/index.js'
import { type BuildReport, type BuiltModel, type BuiltOutput, verdictOf } from './report.js'
import { letterOf, textPlot } from './text-plot.js'

/** The report as Markdown: tables, and a plot of characters, which every viewer shows. */
export function summaryMarkdown(report: BuildReport): string {
  const { title, models, publications, passed, steps, seconds, mq } = report
  const verdict = verdictOf(report)
  const said = verdict === undefined ? '' : passed ? ` ${verdict}.` : ` **${verdict}.**`
  return `${[
    `# ${inline(title)}`,
    '',
    `${steps.total} steps, ${steps.known} of them done before, in ${formatSeconds(seconds)} with mq ${mq}.${said}`,
    ...models.flatMap(modelLines),
    ...publicationLines(publications),
  ].join('\n')}\n`
}

function modelLines({ name, source, outputs }: BuiltModel): string[] {
  const measured = outputs.flatMap(({ measurement }) => measurement ?? [])[0]
  const against =
    measured === undefined
      ? ''
      : ` Against ${inline(measured.reference.name)} on ${inline(measured.text.name)}: ${measured.text.scoredTokens} tokens in ${measured.text.chunks} chunks.`
  const head = [
    '',
    'output',
    'size',
    'bits/weight',
    ...(measured === undefined ? [] : ['KL divergence', '99 %', 'perplexity ratio', 'same top', 'Pareto']),
  ]
  return [
    '',
    `## ${inline(name)}`,
    '',
    `From ${inline(source)}.${against}`,
    '',
    row(head),
    row(head.map((_, index) => (index < 2 || head[index] === 'Pareto' ? '---' : '--:'))),
    ...outputs.map((output, index) => row([letterOf(index), inline(output.name), ...figuresOf(output)])),
    ...plotLines(outputs),
    ...gateLines(outputs),
    ...noteLines(outputs),
  ]
}

function figuresOf({ sizeBytes, bitsPerWeight, measurement, onFront, dominatedBy }: BuiltOutput): string[] {
  const size = [formatBytes(sizeBytes), bitsPerWeight.toFixed(3)]
  if (measurement === undefined) return size
  const { divergence, perplexityRatio } = measurement.measurement
  const { kld, sameTop } = divergence
  return [
    ...size,
    `${kld.mean.value.toFixed(5)} ± ${kld.mean.standardError.toFixed(5)}`,
    (kld.quantiles['99'] ?? Number.NaN).toFixed(4),
    `${perplexityRatio.value.toFixed(4)} ± ${perplexityRatio.standardError.toFixed(4)}`,
    `${(100 * sameTop.value).toFixed(2)} %`,
    onFront === true ? 'optimal' : `dominated by ${inline(dominatedBy ?? '')}`,
  ]
}

function plotLines(outputs: readonly BuiltOutput[]): string[] {
  const points = outputs.map(({ sizeBytes, measurement }) => ({
    x: sizeBytes,
    y: measurement?.measurement.divergence.kld.mean.value ?? 0,
  }))
  const plot = textPlot(points, { x: 'size', y: 'mean KL divergence', formatX: formatBytes, formatY: (y) => y.toPrecision(2) })
  return plot === '' ? [] : ['', '```', plot, '```']
}

function gateLines(outputs: readonly BuiltOutput[]): string[] {
  const rows = outputs.flatMap(({ name, gates }) => gates.map((gate) => gateRow(name, gate)))
  return rows.length === 0
    ? []
    : ['', row(['gate', 'output', 'value', 'required', 'result']), row(['---', '---', '---', '---', '---']), ...rows]
}

function gateRow(output: string, gate: GateResult): string {
  return row([inline(gate.name), inline(output), gateValue(gate), limitText(gate), gate.passed ? 'passed' : '**failed**'])
}

function noteLines(outputs: readonly BuiltOutput[]): string[] {
  const lines = outputs.flatMap(({ name, notes }) => notes.map((note) => `- ${inline(name)}: ${inline(note)}`))
  return lines.length === 0 ? [] : ['', ...lines]
}

function publicationLines(publications: BuildReport['publications']): string[] {
  if (publications.length === 0) return []
  return [
    '',
    '## Published',
    '',
    row(['name', 'to', '']),
    row(['---', '---', '---']),
    ...publications.map(({ name, place, isNew }) => row([inline(name), inline(place), isNew ? 'now' : 'before'])),
  ]
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}

/** Text in a line of Markdown, with nothing that has a meaning there. */
function inline(text: string): string {
  return text.replaceAll(/[\\`*_[\]<>|]/g, (character) => `\\${character}`).replaceAll(/\s+/g, ' ')
}
