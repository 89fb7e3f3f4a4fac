import { formatBytes, formatTable } from '../terminal/index.js'
import type { VerifyReport } from './report.js'
import type { Estimate } from './statistics.js'

/** The report as a user reads it on the terminal. */
export function reportText(report: VerifyReport): string {
  const { files, reference, text, gates } = report
  const sizeBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0)
  const rows = [
    ['reference', reference.name, formatBytes(reference.sizeBytes), '', figure(reference.perplexity)],
    ['model', files[0]?.name ?? '', formatBytes(sizeBytes), report.bitsPerWeight.toFixed(3), figure(report.perplexity)],
  ]
  return [
    formatTable(
      [
        { title: '' },
        { title: 'file' },
        { title: 'size', align: 'right' },
        { title: 'bits/weight', align: 'right' },
        { title: 'perplexity', align: 'right' },
      ],
      rows,
    ),
    '',
    `Perplexity ratio ${figure(report.perplexityRatio)} on ${text.name}, ${text.scoredTokens} tokens in ${text.chunks} chunks of ${text.contextLength}.`,
    ...gates.map(
      ({ name, value, limit, passed }) =>
        `${passed ? 'PASSED' : 'FAILED'}: ${name} ${value.toFixed(4)}, at most ${limit} allowed.`,
    ),
  ].join('\n')
}

function figure({ value, standardError }: Estimate): string {
  return `${value.toFixed(4)} ± ${standardError.toFixed(4)}`
}
