import { readSize } from '../../terminal/index.js'

// What several tables of fields have in common.

/** Text that is a size in bytes. */
export const size = {
  kind: 'text',
  check: (text: string) => (readSize(text) === undefined ? 'it is not a size such as 512MB or 1.5GiB' : undefined),
  pattern: String.raw`^\s*[0-9]+(\.[0-9]+)?\s*([KMGTkmgt]?[iI]?[bB]?)\s*$`,
} as const

/** A positive whole number. */
export const count = (description: string, fallback: string, least = 1) =>
  ({ kind: 'number', whole: true, least, most: 2 ** 27, description, fallback }) as const

/** Names that may stand in file names, tags and graphs. */
export const fileNames = {
  pattern: '^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$',
  problem: 'a name has up to 100 letters, digits, ".", "_" and "-", and begins with none of ".", "-"',
} as const
