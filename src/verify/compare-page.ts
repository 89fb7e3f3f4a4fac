import { facts, markup, page, section, tiles } from '../report/index.js'
import { formatBytes } from '../terminal/index.js'
import type { ComparedModel, CompareReport } from './compare.js'
import { dominatedText } from './compare-text.js'
import { figureText, identityFacts, type ModelRow, modelTable, repeatSection, textFacts } from './page-parts.js'
import type { MadeBy } from './report-page.js'
import { kldTradeoff, perplexityTradeoff, sameTopTradeoff } from './tradeoff-charts.js'

/** The comparison as a page of its own: see page() in src/report. */
export function comparePage({ models, reference, text, notes, llamaCpp }: CompareReport, { command, version }: MadeBy): string {
  const front = models.filter(({ onFront }) => onFront)
  const [smallest, largest] = [models[0], models.at(-1)]
  return page(`${models.length} models against ${reference.name}`, [
    markup`<header><h1>${models.length === 1 ? 'A model' : `${models.length} models`} against ${reference.name}</h1><p class="lead">on ${text.name}: ${text.scoredTokens} tokens in ${text.chunks} chunks of ${text.contextLength}</p></header>`,
    tiles([
      {
        name: 'Pareto-optimal',
        value: `${front.length} of ${models.length}`,
        note: 'no other model is as small or smaller and has a lower KL divergence',
      },
      {
        name: 'Sizes',
        value: `${formatBytes(smallest?.sizeBytes ?? 0)} to ${formatBytes(largest?.sizeBytes ?? 0)}`,
        note: `${smallest?.bitsPerWeight.toFixed(2)} to ${largest?.bitsPerWeight.toFixed(2)} bits per weight`,
      },
      {
        name: 'Perplexity of the reference',
        value: reference.perplexity.value.toFixed(4),
        note: `± ${reference.perplexity.standardError.toFixed(4)}`,
      },
    ]),
    section(
      'Size against divergence from the reference',
      markup`<div class="charts">${[kldTradeoff(models), perplexityTradeoff(models), sameTopTradeoff(models)]}</div>`,
    ),
    section(
      'Models',
      modelTable('model', models.map(rowOf)),
      markup`<p class="after">A model is dominated by another that is as small or smaller and has a lower KL divergence; in brackets the confidence that it is lower, by Student's t of the paired differences of ${text.chunks} chunks. It is two-sided, and the nearest of all was chosen for each, so take what is not far above 95 % with care.</p>`,
      ...notes.map((note) => markup`<p>${note}</p>`),
    ),
    section(
      'Files and versions',
      markup`<div class="columns">${[
        ...models.map(({ name, files, bitsPerWeight }) => ({ title: name, rows: identityFacts(files, bitsPerWeight) })),
        { title: `Reference: ${reference.name}`, rows: identityFacts(reference.files ?? [], reference.bitsPerWeight) },
        { title: 'Text', rows: textFacts(text) },
        {
          title: 'Programs',
          rows: [
            ['mq', version],
            ['llama.cpp', llamaCpp],
          ] as const,
        },
      ].map(({ title, rows }) => markup`<div><h3>${title}</h3>${facts(rows)}</div>`)}</div>`,
    ),
    repeatSection(command),
  ])
}

function rowOf(model: ComparedModel): ModelRow {
  const { divergence, perplexityRatio } = model
  const { kld, sameTop } = divergence
  return {
    ...model,
    figures: [
      figureText('kld.mean', kld.mean.value, kld.mean.standardError),
      figureText('kld.q99', kld.quantiles['99'] ?? Number.NaN),
      figureText('ppl-ratio', perplexityRatio.value, perplexityRatio.standardError),
      figureText('same-top', sameTop.value, sameTop.standardError),
    ],
    dominatedBy: dominatedText(model),
  }
}
