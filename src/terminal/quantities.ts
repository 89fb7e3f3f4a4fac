const units: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  K: 1e3,
  KB: 1e3,
  KIB: 2 ** 10,
  M: 1e6,
  MB: 1e6,
  MIB: 2 ** 20,
  G: 1e9,
  GB: 1e9,
  GIB: 2 ** 30,
  T: 1e12,
  TB: 1e12,
  TIB: 2 ** 40,
}

/**
 * Bytes of a size as people write it: `512MB`, `1.5 GiB`, `20G`. Units are powers of 1000, with an `i` of 1024; case does not matter.
 * @returns undefined where the text is no size, or not above 0.
 */
export function readSize(text: string): number | undefined {
  const [, figure, unit] = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text) ?? []
  const factor = units[unit?.toUpperCase() ?? '']
  const bytes = figure === undefined || factor === undefined ? Number.NaN : Math.round(Number(figure) * factor)
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : undefined
}

/** A number above 0; undefined where the text is none. */
export function readPositive(text: string): number | undefined {
  const value = text.trim() === '' ? Number.NaN : Number(text)
  return value > 0 && Number.isFinite(value) ? value : undefined
}

/** A share as people write it, `0.9` or `90%`, as a number from 0 (excluded) to 1; undefined where the text is none. */
export function readShare(text: string): number | undefined {
  const [, figure, percent] = /^\s*(\d+\.?\d*|\.\d+)\s*(%?)\s*$/.exec(text) ?? []
  const share = Number(figure) / (percent === '%' ? 100 : 1)
  return share > 0 && share <= 1 ? share : undefined
}
