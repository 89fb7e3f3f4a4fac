/** Maps values of an axis to 0 (its beginning) to 1 (its end), and says where it is marked. */
export interface Scale {
  (value: number): number
  readonly ticks: readonly Tick[]
}

/** A mark on an axis. */
export interface Tick {
  readonly value: number
  readonly label: string
}

type Format = (value: number) => string

/** Equal steps; the ends are where they are asked for. */
export function linear(least: number, greatest: number, format: Format = shortNumber, count = 5): Scale {
  const [from, to] = least < greatest ? [least, greatest] : [least - 0.5, least + 0.5]
  return Object.assign((value: number) => (value - from) / (to - from), { ticks: roundTicks(from, to, count, format) })
}

/** linear(), widened to the next round figures. */
export function roundLinear(least: number, greatest: number, format: Format = shortNumber, count = 5): Scale {
  if (!(least < greatest)) return roundLinear(least, least + (Math.abs(least) || 1), format, count)
  const step = roundStep(least, greatest, count)
  return linear(step * Math.floor(least / step + 1e-9), step * Math.ceil(greatest / step - 1e-9), format, count)
}

/** Equal factors, from above 0. Marked at powers of ten; between them, too, where there are few. */
export function logarithmic(least: number, greatest: number, format: Format = shortNumber): Scale {
  const [from, to] = [Math.log10(least), Math.log10(greatest)]
  const digits = to - from < 1.2 ? [1, 1.5, 2, 3, 4, 5, 7] : to - from < 3 ? [1, 2, 5] : [1]
  const every = Math.max(1, Math.ceil((to - from) / 8))
  const ticks: Tick[] = []
  for (let power = Math.floor(from); power <= Math.ceil(to); power += 1) {
    if (power % every !== 0) continue
    for (const digit of digits) {
      const value = Number(`${digit}e${power}`)
      const place = Math.log10(value)
      if (place >= from - 1e-9 && place <= to + 1e-9) ticks.push({ value, label: format(value) })
    }
  }
  return Object.assign((value: number) => (Math.log10(Math.max(value, Number.MIN_VALUE)) - from) / (to - from), { ticks })
}

/** Decades that the linear part of a signed axis takes on each side. */
const inner = 0.3

/** Logarithmic in both directions from `least` to `greatest`, linear between -least and least. */
export function signedLogarithmic(least: number, greatest: number, format: Format = shortNumber): Scale {
  const decades = Math.log10(greatest / least)
  const one = (value: number): number =>
    Math.abs(value) <= least
      ? (inner * value) / least
      : Math.sign(value) * (inner + Math.log10(Math.min(Math.abs(value), greatest) / least))
  const values = Array.from({ length: Math.floor(decades + 1e-9) + 1 }, (_, index) => greatest / 10 ** index)
  const marked = values.slice(0, -1)
  const ticks = [...marked.map((value) => -value), 0, ...marked.reverse()].map((value) => ({ value, label: format(value) }))
  return Object.assign((value: number) => 0.5 + one(value) / (2 * (decades + inner)), { ticks })
}

function roundTicks(from: number, to: number, count: number, format: Format): Tick[] {
  const step = roundStep(from, to, count)
  const ticks: Tick[] = []
  for (let index = Math.ceil(from / step - 1e-9); index * step <= to + step * 1e-9; index += 1) {
    const value = Number((index * step).toPrecision(12))
    ticks.push({ value, label: format(value) })
  }
  return ticks
}

/** 1, 2 or 5 times a power of ten, so that about `count` of them make the way. */
function roundStep(from: number, to: number, count: number): number {
  const rough = Math.max(to - from, Number.MIN_VALUE) / count
  const power = 10 ** Math.floor(Math.log10(rough))
  const factor = [1, 2, 5, 10].find((one) => one * power >= rough * 0.999) ?? 10
  return factor * power
}

/** Few characters: 0.05, 12.5, 2e-7. */
export function shortNumber(value: number): string {
  if (value === 0) return '0'
  const size = Math.abs(value)
  if (size < 1e-4 || size >= 1e6)
    return Number(value.toPrecision(3)).toExponential().replace('e+', 'e').replace('-', '\u2212').replace('e-', 'e\u2212')
  return String(Number(value.toPrecision(4))).replace('-', '\u2212')
}

/** A share as per cent. */
export function percent(value: number): string {
  return `${shortNumber(Number((100 * value).toPrecision(6)))} %`
}
