import { readPositive, readSize } from '../src/terminal/index.js'

/** The number above 0 that an option was given. */
export function positiveOf(option: string, text: string): number {
  return valueOf(option, text, readPositive(text), 'a number above 0')
}

/** The bytes that an option was given, such as `250MB`. */
export function sizeOf(option: string, text: string): number {
  return valueOf(option, text, readSize(text), 'a size such as 250MB')
}

function valueOf(option: string, text: string, value: number | undefined, what: string): number {
  if (value === undefined) throw new RangeError(`--${option} ${text} is not ${what}`)
  return value
}
