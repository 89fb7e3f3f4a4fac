import { markup, page, section, table, tiles } from '../../report/index.js'
import { formatBytes, formatSeconds } from '../../terminal/index.js'
import { figureText, gateValue, kldTradeoff, limitText, type ModelRow, modelTable } from '../../verify/index.js'
import { type BuildReport, type BuiltModel, type BuiltOutput, verdictOf } from './report.js'

/** The report as a page of its own: see page() in src/report. */
export function summaryPage(report: BuildReport): string {
  const { title, models, publications, passed, steps, seconds, mq, file } = report
  const outputs = models.flatMap((model) => model.outputs)
  const verdict = verdictOf(report)
  return page(title, [
    markup`<header><h1>${title}</h1><p class="lead">${outputs.length} outputs of ${models.length === 1 ? 'a model' : `${models.length} models`}</p>${
      verdict && markup`<p class="verdict ${passed ? 'passed' : 'failed'}">${verdict}</p>`
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
    modelTable('output', outputs.map(rowOf)),
    gateTable(outputs),
    ...outputs.flatMap(({ name: output, notes }) => notes.map((note) => markup`<p class="after">${output}: ${note}</p>`)),
  )
}

function rowOf({ name, sizeBytes, bitsPerWeight, measurement, onFront, dominatedBy = '' }: BuiltOutput): ModelRow {
  const row = { name, sizeBytes, bitsPerWeight, onFront, dominatedBy }
  if (measurement === undefined) return { ...row, figures: ['', '', '', ''] }
  const { divergence, perplexityRatio } = measurement.measurement
  const { kld, sameTop } = divergence
  return {
    ...row,
    figures: [
      figureText('kld.mean', kld.mean.value, kld.mean.standardError),
      (kld.quantiles['99'] ?? Number.NaN).toFixed(4),
      figureText('ppl-ratio', perplexityRatio.value, perplexityRatio.standardError),
      `${(100 * sameTop.value).toFixed(2)} %`,
    ],
  }
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
