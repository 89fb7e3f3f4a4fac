import { type Cell, facts, type Markup, markup, page, section, table, tiles } from '../report/index.js'
import { formatBytes } from '../terminal/index.js'
import {
  type Charted,
  changeHistogram,
  chunkChart,
  differenceChart,
  kldHistogram,
  perplexityChart,
  positionChart,
} from './charts.js'
import { figures } from './figures.js'
import { limitText } from './gates.js'
import { confidenceText, figureText, identityFacts, repeatSection, textFacts } from './page-parts.js'
import type { VerifyReport } from './report.js'

/** What made a page: command line and version. */
export interface MadeBy {
  /** The command line that created the report. */
  readonly command: string
  /** Version of mq. */
  readonly version: string
}

/** The report as a page of its own: see page() in src/report. */
export function reportPage(report: VerifyReport, madeBy: Partial<MadeBy> & Pick<MadeBy, 'version'>): string {
  const { files, reference, text, versus } = report
  const models = chartedOf(report)
  const name = files[0]?.name ?? 'the model'
  return page(`${name} against ${reference.name}`, [
    markup`<header><h1>${name}</h1><p class="lead">against ${reference.name}${versus === undefined ? '' : ` and versus ${versus.name}`}, on ${text.name}: ${text.scoredTokens} tokens in ${text.chunks} chunks of ${text.contextLength}</p>${verdict(report)}</header>`,
    summary(report),
    versus === undefined ? undefined : section('Paired comparison', versusText(report)),
    report.gates.length === 0 ? undefined : section('Gates', gateTable(report)),
    models.length === 0 ? undefined : section('Plots', markup`<div class="charts">${plots(report, models)}</div>`),
    section('Figures', figureTable(report)),
    section('Files and versions', compared(report, madeBy)),
    madeBy.command === undefined ? undefined : repeatSection(madeBy.command),
  ])
}

function verdict({ gates, passed }: VerifyReport): Markup {
  if (gates.length === 0) return markup`<p class="verdict">Measured, without gates</p>`
  const failed = gates.filter((gate) => !gate.passed).length
  return passed
    ? markup`<p class="verdict passed">✓ Passed: ${gates.length === 1 ? 'the gate' : `all ${gates.length} gates`}</p>`
    : markup`<p class="verdict failed">✗ Failed: ${gates.length === 1 ? 'the gate' : `${failed} of ${gates.length} gates`}</p>`
}

function summary({ perplexityRatio, divergence, bitsPerWeight, files, reference }: VerifyReport): Markup {
  const sizeBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0)
  return tiles([
    ...(divergence === undefined
      ? []
      : [
          {
            name: 'Mean KL divergence',
            value: divergence.kld.mean.value.toFixed(5),
            note: `± ${divergence.kld.mean.standardError.toFixed(5)} nats`,
          },
          {
            name: 'Same top token',
            value: `${(100 * divergence.sameTop.value).toFixed(2)} %`,
            note: `± ${(100 * divergence.sameTop.standardError).toFixed(2)} %`,
          },
        ]),
    { name: 'Perplexity ratio', value: perplexityRatio.value.toFixed(4), note: `± ${perplexityRatio.standardError.toFixed(4)}` },
    {
      name: 'Size',
      value: formatBytes(sizeBytes),
      note: `${bitsPerWeight.toFixed(3)} bits per weight${reference.sizeBytes === undefined ? '' : `, ${((100 * sizeBytes) / reference.sizeBytes).toFixed(1)} % of the reference`}`,
    },
  ])
}

function versusText({ versus, files, text }: VerifyReport): Markup | undefined {
  if (versus === undefined) return undefined
  const { kld, confidence } = versus.difference
  const name = files[0]?.name ?? 'the model'
  const [nearer, further] = kld.value < 0 ? [name, versus.name] : [versus.name, name]
  return markup`<p>${confidence < 0.95 ? markup`The difference is not significant. As measured, <strong>${nearer}</strong> has a lower KL divergence than ${further}` : markup`<strong>${nearer}</strong> has a lower KL divergence than ${further}`}, by ${Math.abs(kld.value).toFixed(6)} ± ${kld.standardError.toFixed(6)} nats of mean KL divergence, with a confidence of ${confidenceText(confidence)}: two-sided, by Student's t of the paired differences of ${text.chunks} chunks.</p>`
}

function gateTable({ gates }: VerifyReport): Markup {
  return table(
    [{ title: 'figure' }, { title: 'measured' }, { title: 'tested' }, { title: 'allowed' }, { title: '' }],
    gates.map((gate) => ({
      cells: [
        gate.name,
        figureText(gate.figure ?? '', gate.value, gate.standardError),
        gate.edge === undefined || gate.confidence === undefined
          ? 'the figure'
          : markup`${gate.bound === 'least' ? 'at least' : 'at most'} ${figureText(gate.figure ?? '', gate.edge)} <span class="error">(${confidenceText(gate.confidence)})</span>`,
        limitText(gate),
        gate.passed ? markup`<span class="passed-mark">✓ passed</span>` : markup`<span class="failed-mark">✗ failed</span>`,
      ],
    })),
  )
}

/** All figures of the model, and of the one that it is compared with, by the names that gates use. */
function figureTable(report: VerifyReport): Markup {
  const { versus } = report
  const other = versus === undefined ? [] : [{ ...report, ...versus } as VerifyReport]
  const cell = (of: VerifyReport, name: string): Cell => {
    const found = figures.get(name)?.of(of)
    return found === undefined ? undefined : figureText(name, found.value, found.standardError)
  }
  const rows = [...figures].filter(([name]) => !/^(bits|size|versus\..*)$/.test(name))
  return table(
    [
      { title: 'figure ± standard error' },
      { title: report.files[0]?.name ?? 'model' },
      ...other.map(() => ({ title: versus?.name ?? '' })),
      { title: 'name of the gate', left: true },
    ],
    rows
      .map(([name, { label }]) => [
        label,
        cell(report, name),
        ...other.map((one) => cell(one, name)),
        markup`<code>${name}</code>`,
      ])
      .filter(([, own]) => own !== undefined)
      .map((cells) => ({ cells })),
  )
}

function plots(report: VerifyReport, models: readonly Charted[]): Markup[] {
  const limitOf = (figure: string): number | undefined => report.gates.find((gate) => gate.figure === figure)?.limit
  const [first, second] = models
  return [
    kldHistogram(models),
    changeHistogram(models),
    chunkChart(models, limitOf('kld.mean')),
    perplexityChart(models, limitOf('ppl-ratio')),
    positionChart(models),
    ...(first === undefined || second === undefined ? [] : [differenceChart(first, second)]),
  ]
}

function chartedOf({ files, divergence, profile, versus }: VerifyReport): Charted[] {
  if (divergence === undefined || profile === undefined) return []
  const own = { name: files[0]?.name ?? 'model', divergence, profile }
  if (versus?.divergence === undefined || versus.profile === undefined) return [own]
  return [own, { name: versus.name, divergence: versus.divergence, profile: versus.profile }]
}

function compared(report: VerifyReport, { version }: Pick<MadeBy, 'version'>): Markup {
  const { files, bitsPerWeight, reference, text, versus, llamaCpp, external } = report
  const part = (title: string, rows: readonly (readonly [string, Cell])[]): Markup =>
    markup`<div><h3>${title}</h3>${facts(rows)}</div>`
  return markup`<div class="columns">${part('Model', identityFacts(files, bitsPerWeight))}${versus?.files === undefined ? undefined : part('Compared with', identityFacts(versus.files, versus.bitsPerWeight))}${part('Reference', [['name', reference.name], ...identityFacts(reference.files ?? [], reference.bitsPerWeight)])}${part('Text', textFacts(text))}${part(
    'Programs',
    [
      ['mq', version],
      ['llama.cpp', llamaCpp],
      [
        external?.program ?? '',
        external === undefined
          ? undefined
          : `perplexity ${external.perplexity.toFixed(4)}${external.standardError === undefined ? '' : ` ± ${external.standardError}`} of the model`,
      ],
    ],
  )}</div>`
}
