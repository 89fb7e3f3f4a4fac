import { formatBytes, formatTable } from '../terminal/index.js'
import type { ComparedModel, CompareReport } from './compare.js'
import { confidenceText } from './page-parts.js'

/** The comparison as a user reads it on the terminal. */
export function compareText({ models, reference, text, notes }: CompareReport): string {
  const rows = models.map((model) => [
    model.onFront ? '*' : '',
    model.name,
    formatBytes(model.sizeBytes),
    model.bitsPerWeight.toFixed(3),
    `${model.divergence.kld.mean.value.toFixed(6)} ± ${model.divergence.kld.mean.standardError.toFixed(6)}`,
    `${model.perplexityRatio.value.toFixed(4)} ± ${model.perplexityRatio.standardError.toFixed(4)}`,
    `${(100 * model.divergence.sameTop.value).toFixed(2)} %`,
    dominatedText(model),
  ])
  const known = models.filter(({ measured }) => !measured).length
  return [
    formatTable(
      [
        { title: '' },
        { title: 'model' },
        { title: 'size', align: 'right' },
        { title: 'bits/weight', align: 'right' },
        { title: 'KL divergence', align: 'right' },
        { title: 'perplexity ratio', align: 'right' },
        { title: 'same top', align: 'right' },
        { title: 'needless beside' },
      ],
      rows,
    ),
    '',
    `Against ${reference.name} on ${text.name}, ${text.scoredTokens} tokens in ${text.chunks} chunks of ${text.contextLength}. * no other is both no larger and no further from the reference.`,
    ...(known === 0 ? [] : [`${known} of ${models.length} were measured before; --fresh measures them again.`]),
    ...notes,
  ].join('\n')
}

/** `Q4_K_M (99.20 %)`: what makes a model needless, and how sure it is that it is nearer to the reference. */
export function dominatedText({ dominatedBy }: ComparedModel): string {
  if (dominatedBy === undefined) return ''
  const { name, confidence } = dominatedBy
  return `${name} (${confidence < 0.95 ? 'not surely, ' : ''}${confidenceText(confidence)})`
}
