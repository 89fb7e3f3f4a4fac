import { MqError } from './errors.js'

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
 * @param flag the option that the size was given to, for messages.
 * @throws MqError FLAG_INVALID.
 */
export function parseSize(text: string, flag: string, command: string): number {
  const [, figure, unit] = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text) ?? []
  const factor = units[unit?.toUpperCase() ?? '']
  const bytes = figure === undefined || factor === undefined ? Number.NaN : Math.round(Number(figure) * factor)
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes
  throw MqError.of('FLAG_INVALID', { flag, value: text, problem: 'it is not a size such as 512MB or 1.5GiB', command })
}

/**
 * A number above 0.
 * @throws MqError FLAG_INVALID.
 */
export function parsePositive(text: string, flag: string, command: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text)
  if (value > 0 && Number.isFinite(value)) return value
  throw MqError.of('FLAG_INVALID', { flag, value: text, problem: 'it is not a number above 0', command })
}

/**
 * A share as people write it, as a number from 0 to 1: `0.9`, `90%`.
 * @throws MqError FLAG_INVALID, for 0 and for what is above 1, too.
 */
export function parseShare(text: string, flag: string, command: string): number {
  const [, figure, percent] = /^\s*(\d+\.?\d*|\.\d+)\s*(%?)\s*$/.exec(text) ?? []
  const share = Number(figure) / (percent === '%' ? 100 : 1)
  if (share > 0 && share <= 1) return share
  throw MqError.of('FLAG_INVALID', { flag, value: text, problem: 'it is not a share such as 0.9 or 90%', command })
}
