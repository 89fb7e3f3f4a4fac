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
        { title: 'dominated by' },
      ],
      rows,
    ),
    '',
    `Against ${reference.name} on ${text.name}, ${text.scoredTokens} tokens in ${text.chunks} chunks of ${text.contextLength}. * Pareto-optimal: no other model is as small or smaller and has a lower KL divergence.`,
    ...(known === 0 ? [] : [`${known} of ${models.length} measurements are from the cache.`]),
    ...notes,
  ].join('\n')
}

/** `Q4_K_M (99.20 %)`: the model that dominates this one, and the confidence that its KL divergence is lower. */
export function dominatedText({ dominatedBy }: ComparedModel): string {
  if (dominatedBy === undefined) return ''
  const { name, confidence } = dominatedBy
  return `${name} (${confidence < 0.95 ? 'not significant, ' : ''}${confidenceText(confidence)})`
}
