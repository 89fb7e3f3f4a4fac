import { MqError } from '../../src/errors/index.js'
import { readPositive, readShare, readSize } from '../../src/terminal/index.js'

/** Bytes of the size that a flag was given. @throws MqError FLAG_INVALID. */
export function parseSize(text: string, flag: string, command: string): number {
  return parsed(readSize(text), text, 'a size such as 512MB or 1.5GiB', flag, command)
}

/** The number above 0 that a flag was given. @throws MqError FLAG_INVALID. */
export function parsePositive(text: string, flag: string, command: string): number {
  return parsed(readPositive(text), text, 'a number above 0', flag, command)
}

/** The share, above 0 and at most 1, that a flag was given. @throws MqError FLAG_INVALID. */
export function parseShare(text: string, flag: string, command: string): number {
  return parsed(readShare(text), text, 'a share such as 0.9 or 90%', flag, command)
}

function parsed(value: number | undefined, text: string, what: string, flag: string, command: string): number {
  if (value !== undefined) return value
  throw MqError.of('FLAG_INVALID', { flag, value: text, problem: `it is not ${what}`, command })
}
