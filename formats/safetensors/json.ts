import { decodeText, JsonProblem, parseJsonText } from '../json-text.js'
import { quote } from '../quote.js'

/**
 * JSON from an untrusted file, with what JSON.parse hides or does not bound: a key that an object holds twice (the last value would
 * win in silence), and nesting (millions of open brackets would cost gigabytes before the text turns out to be wrong).
 * @param fail makes the error to throw from what is wrong.
 */
export function parseStrictJson(bytes: Uint8Array, maxDepth: number, fail: (problem: string) => Error): unknown {
  const text = decode(bytes, fail)
  checkKeys(text, maxDepth, fail)
  try {
    return JSON.parse(text)
  } catch {
    throw fail('its JSON cannot be parsed')
  }
}

/**
 * The same for a file that people and their tools write, with a byte order mark or the bare NaN of Python: see parseJsonText.
 * @param fail makes the error to throw from what is wrong.
 */
export function parseWrittenJson(bytes: Uint8Array, maxDepth: number, fail: (problem: string) => Error): unknown {
  try {
    checkKeys(decodeText(bytes), maxDepth, fail)
    return parseJsonText(bytes)
  } catch (error) {
    throw error instanceof JsonProblem ? fail(error.message) : error
  }
}

/** Whether a parsed value is a JSON object. */
export function isJsonObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function decode(bytes: Uint8Array, fail: (problem: string) => Error): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw fail('its JSON is not UTF-8')
  }
}

const structure = /["{}[\]]/g
const stringEnd = /["\\]/g
const colonNext = /[ \t\n\r]*:/y

/** Walks strings and brackets. The text need not be valid: JSON.parse judges that afterwards. */
function checkKeys(text: string, maxDepth: number, fail: (problem: string) => Error): void {
  const open: (Set<string> | undefined)[] = []
  for (let at = nextMatch(structure, text, 0); at >= 0; at = nextMatch(structure, text, at + 1)) {
    const character = text[at]
    if (character === '{' || character === '[') {
      if (open.length === maxDepth) throw fail(`its JSON nests deeper than ${maxDepth}`)
      open.push(character === '{' ? new Set() : undefined)
    } else if (character === '"') {
      const end = endOfString(text, at)
      if (end < 0) return
      colonNext.lastIndex = end
      if (colonNext.test(text)) {
        const key = unquote(text.slice(at, end))
        const keys = open.at(-1)
        if (key === undefined || keys === undefined) return
        if (keys.has(key)) throw fail(`the name ${quote(key)} appears in it twice`)
        keys.add(key)
      }
      at = end - 1
    } else {
      open.pop()
    }
  }
}

/** One past the closing quote of the string that opens at `start`; -1 where it does not close. */
function endOfString(text: string, start: number): number {
  let at = nextMatch(stringEnd, text, start + 1)
  while (at >= 0 && text[at] === '\\') at = nextMatch(stringEnd, text, at + 2)
  return at < 0 ? -1 : at + 1
}

function nextMatch(pattern: RegExp, text: string, from: number): number {
  pattern.lastIndex = from
  return pattern.exec(text)?.index ?? -1
}

/** Names are compared as they mean, not as they are written: `"\u0061"` is `"a"`. */
function unquote(quoted: string): string | undefined {
  if (!quoted.includes('\\')) return quoted.slice(1, -1)
  try {
    return JSON.parse(quoted) as string
  } catch {
    return undefined
  }
}
