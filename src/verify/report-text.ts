import { formatBytes, formatTable } from '../terminal/index.js'
import { gateValue, limitText } from './gates.js'
import type { VerifyReport } from './report.js'
import type { Estimate } from './statistics.js'

/** The report as a user reads it on the terminal. */
export function reportText(report: VerifyReport): string {
  const { files, reference, text, gates, divergence, versus, external } = report
  const sizeBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0)
  const referenceSize = reference.sizeBytes === undefined ? '' : formatBytes(reference.sizeBytes)
  const rows = [
    ['reference', reference.name, referenceSize, '', figure(reference.perplexity)],
    ['model', files[0]?.name ?? '', formatBytes(sizeBytes), report.bitsPerWeight.toFixed(3), figure(report.perplexity)],
    ...(versus === undefined ? [] : [['versus', versus.name, formatBytes(versus.sizeBytes), '', figure(versus.perplexity)]]),
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
    ...(external === undefined ? [] : [`Perplexity of the model by ${external.program}: ${external.perplexity.toFixed(4)}.`]),
    ...(divergence === undefined ? [] : divergenceLines(divergence)),
    ...(versus === undefined ? [] : [versusLine(versus, text.chunks), '']),
    ...gates.map((gate) => `${gate.passed ? 'PASSED' : 'FAILED'}: ${gate.name} ${gateValue(gate)}; ${limitText(gate)} allowed.`),
  ].join('\n')
}

function divergenceLines({
  kld,
  probabilityChange,
  sameTop,
  correlation,
}: NonNullable<VerifyReport['divergence']>): readonly string[] {
  const change = (value: number): string => `${(100 * value).toFixed(3)} %`
  const percentages = ['99.9', '99', '95', '90', '75', 'median', '25', '10', '5', '1', '0.1']
  const column = ({ maximum, quantiles, median, minimum }: typeof kld, show: (value: number) => string): string[] => [
    show(maximum),
    ...percentages.map((percentage) => {
      const value = percentage === 'median' ? median : quantiles[percentage]
      return value === undefined ? '' : show(value)
    }),
    show(minimum),
  ]
  const klds = column(kld, (value) => value.toFixed(6))
  const changes = column(probabilityChange, change)
  const names = ['maximum', ...percentages.map((name) => (name === 'median' ? name : `${name} %`)), 'minimum']
  return [
    `KL divergence    ${divergenceText(kld.mean)}`,
    `Same top token   ${share(sameTop)}`,
    `Δp of the text   ${share(probabilityChange.mean)}, root mean square ${share(probabilityChange.rootMeanSquare)}, correlation ${(100 * correlation).toFixed(2)} %`,
    '',
    formatTable(
      [{ title: '' }, { title: 'KL divergence', align: 'right' }, { title: 'Δp', align: 'right' }],
      names.map((name, index) => [name, klds[index] ?? '', changes[index] ?? '']),
    ),
    '',
  ]
}

function versusLine({ name, kld, difference }: NonNullable<VerifyReport['versus']>, chunks: number): string {
  const { value, standardError } = difference.kld
  const better = value < 0 ? 'The model has the lower KL divergence' : `${name} has the lower KL divergence`
  const confidence = `${Math.min(100 * difference.confidence, 99.99).toFixed(2)} %`
  return `${name} has a KL divergence of ${divergenceText(kld)}. ${better}, by ${divergenceText({ value: Math.abs(value), standardError })} over ${chunks} paired chunks, with a confidence of ${confidence}.`
}

function divergenceText({ value, standardError }: Estimate): string {
  return `${value.toFixed(6)} ± ${standardError.toFixed(6)}`
}

function figure({ value, standardError }: Estimate): string {
  return `${value.toFixed(4)} ± ${standardError.toFixed(4)}`
}

function share({ value, standardError }: Estimate): string {
  return `${(100 * value).toFixed(3)} ± ${(100 * standardError).toFixed(3)} %`
}
