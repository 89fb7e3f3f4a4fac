import type { QualityRow } from './quality.js'

/** Of the samples' texts, and of the kind that real models are not calibrated on. */
const targets: Readonly<Record<string, number>> = { 'kjv-heldout': 0.6, 'jargon-heldout': 0.85, encyclopedia: 0.6 }
const usualTarget = 0.5

/** Where nothing is known of the inputs, on either side, of models that are not samples. */
const targetWithoutImatrix = 0.6

/** Most that our divergence may be of the rival's: of presets, those of samples up to 5 bits, and less than 1 of any other. */
export function targetOf({ rival, text, bitsPerWeight }: Pick<QualityRow, 'rival' | 'text' | 'bitsPerWeight'>): number {
  if (rival.startsWith('llama.cpp-without-imatrix') && !text.endsWith('-heldout')) return targetWithoutImatrix
  if (!rival.startsWith('llama.cpp-preset') || (bitsPerWeight > 5 && text.endsWith('-heldout'))) return 1
  return targets[text] ?? usualTarget
}

/** Whether a row is as good as it is meant to be. */
export function meetsTarget(row: QualityRow): boolean {
  const target = targetOf(row)
  const ratio = row.kld / row.rivalKld
  return target < 1 ? ratio <= target : ratio < target
}

export const qualityHeading =
  'sample            text            rival                                  bytes  rival’s    bits  KLD                rival’s            ratio'

/** A row as a line of the table; a missed target is named at its end. */
export function qualityLine(row: QualityRow): string {
  const { sample, text, rival, bytes, rivalBytes, bitsPerWeight, kld, kldError, rivalKld, rivalKldError } = row
  const estimate = (value: number, error: number): string => `${value.toFixed(4)} ± ${error.toFixed(4)}`.padEnd(17)
  return [
    sample.padEnd(16),
    text.padEnd(14),
    rival.padEnd(36),
    String(bytes).padStart(8),
    String(rivalBytes).padStart(8),
    bitsPerWeight.toFixed(3).padStart(6),
    estimate(kld, kldError),
    estimate(rivalKld, rivalKldError),
    (kld / rivalKld).toFixed(3) + (meetsTarget(row) ? '' : `  MISSED ${targetOf(row)}`),
  ].join('  ')
}

/** How many rows meet their target, and the means of the ratios by kind of rival and text. */
export function qualitySummary(rows: readonly QualityRow[]): string {
  const groups = new Map<string, QualityRow[]>()
  for (const row of rows) {
    const key = `${(row.rival.split(' ')[0] as string).padEnd(18)}  ${row.sample.padEnd(16)}  ${row.text.padEnd(14)}`
    groups.set(key, [...(groups.get(key) ?? []), row])
  }
  const lines = [...groups].map(([key, ofGroup]) => {
    const ratios = ofGroup.map(({ kld, rivalKld }) => kld / rivalKld)
    const mean = Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length)
    const met = ofGroup.filter(meetsTarget).length
    return `${key}  ratio ${mean.toFixed(3)} (${Math.min(...ratios).toFixed(3)} to ${Math.max(...ratios).toFixed(3)}), ${met} of ${ofGroup.length} meet the target`
  })
  return [...lines, '', wholeTable(rows)].join('\n')
}

/** How many rows there are and meet their targets, and the worst that llama.cpp's presets leave. */
function wholeTable(rows: readonly QualityRow[]): string {
  const worst = [...new Set(rows.map(({ text }) => text))].flatMap((text) => {
    const ratios = rows
      .filter((row) => row.text === text && row.rival.startsWith('llama.cpp-preset'))
      .map(({ kld, rivalKld }) => kld / rivalKld)
    return ratios.length === 0 ? [] : [`${Math.max(...ratios).toFixed(3)} on ${text}`]
  })
  const against = worst.length === 0 ? '' : `; worst ratio against llama.cpp’s presets ${worst.join(', ')}`
  return `${rows.length} rows, ${rows.filter(meetsTarget).length} meet their targets${against}`
}

/** The rows as a table in Markdown, a line for each rival; a missed target is in bold. */
export function qualityMarkdown(rows: readonly QualityRow[]): string {
  const texts = [...new Set(rows.map(({ text }) => text))]
  const lines = new Map<string, Map<string, QualityRow>>()
  for (const row of rows) {
    const key = `| ${row.sample} | ${row.rival} | ${row.rivalBytes} | ${row.bytes} | ${row.bitsPerWeight.toFixed(3)} |`
    lines.set(key, (lines.get(key) ?? new Map<string, QualityRow>()).set(row.text, row))
  }
  const cell = (row: QualityRow | undefined): string => {
    if (row === undefined) return ' |'
    const ratio = (row.kld / row.rivalKld).toFixed(2)
    return ` ${row.kld.toFixed(4)} / ${row.rivalKld.toFixed(4)} = ${meetsTarget(row) ? ratio : `**${ratio}**`} |`
  }
  const heading = `| sample | rival | its bytes | ours | bits/weight |${texts.map((text) => ` KLD on ${text} |`).join('')}`
  const rule = `|---|---|--:|--:|--:|${texts.map(() => '---|').join('')}`
  return [heading, rule, ...[...lines].map(([key, byText]) => key + texts.map((text) => cell(byText.get(text))).join(''))].join(
    '\n',
  )
}
