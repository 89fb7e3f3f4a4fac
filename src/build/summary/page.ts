import { type Cell, markup, page, section, table, tiles } from '../../report/index.js'
import { formatBytes, formatSeconds } from '../../terminal/index.js'
import { gateValue, kldTradeoff, limitText } from '../../verify/index.js'
import type { BuildReport, BuiltModel, BuiltOutput } from './report.js'

/** The report as a page of its own: see page() in src/report. */
export function summaryPage(report: BuildReport): string {
  const { title, models, publications, passed, steps, seconds, mq, file } = report
  const outputs = models.flatMap((model) => model.outputs)
  const gates = outputs.flatMap((output) => output.gates)
  const failed = gates.filter((gate) => !gate.passed).length
  return page(title, [
    markup`<header><h1>${title}</h1><p class="lead">${outputs.length} outputs of ${models.length === 1 ? 'a model' : `${models.length} models`}</p>${
      gates.length === 0
        ? undefined
        : markup`<p class="verdict ${passed ? 'passed' : 'failed'}">${passed ? `${gates.length === 1 ? 'The gate' : `All ${gates.length} gates`} passed` : `${failed} of ${gates.length} gates failed: nothing was published`}</p>`
    }</header>`,
    tiles([
      {
        name: 'Outputs',
        value: String(outputs.length),
        note: formatBytes(outputs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)),
      },
      { name: 'Steps', value: String(steps.total), note: `${steps.known} were done before` },
      { name: 'Published', value: String(publications.length), note: passed ? undefined : 'a gate failed' },
      { name: 'Time', value: formatSeconds(seconds), note: 'of this run' },
    ]),
    ...models.map(modelSection),
    publications.length === 0
      ? undefined
      : section(
          'Published',
          table(
            [{ title: 'name' }, { title: 'to', left: true }, { title: '', left: true }],
            publications.map(({ name, place, isNew }) => ({ cells: [name, place, isNew ? 'now' : 'before'] })),
          ),
        ),
    markup`<footer>mq ${mq}, from ${file}.</footer>`,
  ])
}

function modelSection({ name, source, outputs }: BuiltModel): ReturnType<typeof section> {
  const [measured] = outputs.flatMap(({ measurement }) => measurement ?? [])
  const plotted = outputs.flatMap(({ name: output, sizeBytes, onFront = false, measurement }) =>
    measurement === undefined ? [] : [{ name: output, sizeBytes, onFront, divergence: measurement.measurement.divergence }],
  )
  const bySize = plotted.toSorted((a, b) => a.sizeBytes - b.sizeBytes)
  return section(
    name,
    markup`<p>From ${source}.${measured === undefined ? '' : ` Against ${measured.reference.name} on ${measured.text.name}: ${measured.text.scoredTokens} tokens in ${measured.text.chunks} chunks of ${measured.text.contextLength}.`}</p>`,
    bySize.length === 0 ? undefined : markup`<div class="charts">${kldTradeoff(bySize)}</div>`,
    table(
      [
        { title: 'output' },
        { title: 'size' },
        { title: 'bits/weight' },
        { title: 'mean KL divergence' },
        { title: '99 % quantile' },
        { title: 'perplexity ratio' },
        { title: 'same top token' },
        { title: 'dominated by', left: true },
      ],
      outputs.map((output) => ({ isBack: output.onFront === false, cells: cellsOf(output) })),
    ),
    gateTable(outputs),
    ...outputs.flatMap(({ name: output, notes }) => notes.map((note) => markup`<p class="after">${output}: ${note}</p>`)),
  )
}

function cellsOf({ name, sizeBytes, bitsPerWeight, measurement, onFront, dominatedBy }: BuiltOutput): Cell[] {
  const size = [name, formatBytes(sizeBytes).replace(' ', '\u00a0'), bitsPerWeight.toFixed(3)]
  if (measurement === undefined) return [...size, '', '', '', '', '']
  const { divergence, perplexityRatio } = measurement.measurement
  const { kld, sameTop } = divergence
  const withError = (value: string, error: string): Cell => markup`${value} <span class="error">± ${error}</span>`
  return [
    ...size,
    withError(kld.mean.value.toFixed(6), kld.mean.standardError.toFixed(6)),
    (kld.quantiles['99'] ?? Number.NaN).toFixed(4),
    withError(perplexityRatio.value.toFixed(4), perplexityRatio.standardError.toFixed(4)),
    `${(100 * sameTop.value).toFixed(2)} %`,
    onFront === true ? markup`<span class="passed-mark">Pareto-optimal</span>` : (dominatedBy ?? ''),
  ]
}

function gateTable(outputs: readonly BuiltOutput[]): ReturnType<typeof table> | undefined {
  const rows = outputs.flatMap(({ name, gates }) => gates.map((gate) => ({ name, gate })))
  if (rows.length === 0) return undefined
  return markup`<p></p>${table(
    [
      { title: 'gate' },
      { title: 'output', left: true },
      { title: 'value' },
      { title: 'required' },
      { title: 'result', left: true },
    ],
    rows.map(({ name, gate }) => ({
      cells: [
        gate.name,
        name,
        gateValue(gate),
        limitText(gate),
        gate.passed ? markup`<span class="passed-mark">passed</span>` : markup`<span class="failed-mark">failed</span>`,
      ],
    })),
  )}`
}
