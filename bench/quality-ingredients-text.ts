import { type IngredientRow, ingredients } from './quality-ingredients.js'

/** For each sample, text and preset a line: the divergence of llama.cpp's file, and the share of it that is left with each ingredient. */
export function ingredientsText(rows: readonly IngredientRow[]): string {
  const [first, ...rest] = ingredients
  const heading = ['sample'.padEnd(16), 'text'.padEnd(14), 'preset'.padEnd(7), `KLD ${first}`, ...rest].join('  ')
  const groups = new Map<string, IngredientRow[]>()
  for (const row of rows) {
    const key = [row.sample.padEnd(16), row.text.padEnd(14), row.preset.padEnd(7)].join('  ')
    groups.set(key, [...(groups.get(key) ?? []), row])
  }
  const lines = [...groups].map(([key, ofGroup]) => {
    const kldOf = (name: string): number | undefined => ofGroup.find((row) => row.ingredients === name)?.kld
    const base = kldOf(first)
    const cells = rest.map((name) => cell(kldOf(name), base, name === 'kernels' ? base : kldOf('kernels')).padStart(name.length))
    return [key, (base?.toFixed(4) ?? '-').padStart(`KLD ${first}`.length), ...cells].join('  ')
  })
  return [
    heading,
    ...lines,
    '',
    '! marks where an ingredient makes it worse than without: kernels than llama.cpp, the rest than kernels alone.',
  ].join('\n')
}

/** The share of llama.cpp's divergence, or where that is not known the divergence itself. */
function cell(kld: number | undefined, base: number | undefined, before: number | undefined): string {
  if (kld === undefined) return '-'
  const figure = base === undefined ? kld.toFixed(4) : (kld / base).toFixed(3)
  return before !== undefined && kld >= before ? `! ${figure}` : figure
}
