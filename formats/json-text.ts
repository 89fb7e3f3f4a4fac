import { quote } from './quote.js'

/** Why a text is no JSON, in words that follow the name of its file. */
export class JsonProblem extends Error {
  override readonly name = 'JsonProblem'
}

/**
 * Reads JSON as other tools write it: a byte order mark is passed over, and the bare NaN, Infinity and -Infinity of Python's json module
 * are taken. NaN becomes the text "NaN", which no reader of a number accepts; infinities become infinities.
 * @throws JsonProblem, which says the line and what was met there.
 */
export function parseJsonText(bytes: Uint8Array): unknown {
  const text = decodeText(bytes)
  if (text.trim() === '') throw new JsonProblem('it is empty')
  try {
    return JSON.parse(text)
  } catch {
    // The usual way is the fast one; what follows reads the text a second time.
  }
  const found = scan(text)
  if (found.problem !== undefined) throw new JsonProblem(found.problem)
  try {
    return JSON.parse(withoutBareNumbers(text, found.bare))
  } catch {
    throw new JsonProblem('it is not JSON')
  }
}

/**
 * The text of UTF-8 bytes, without a byte order mark.
 * @throws JsonProblem where they are another encoding.
 */
export function decodeText(bytes: Uint8Array): string {
  const [first, second] = bytes
  const isMarked = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)
  // Of two bytes of UTF-16 that hold a character of ASCII, one is zero, which no text in UTF-8 has.
  if (isMarked || (bytes.length > 1 && (first === 0) !== (second === 0))) {
    throw new JsonProblem('it is UTF-16, and must be UTF-8')
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    const before = new TextDecoder().decode(bytes).indexOf('\ufffd')
    throw new JsonProblem(`it is not UTF-8 (line ${lineOf(new TextDecoder().decode(bytes), before)})`)
  }
}

/** A number that JSON does not have, where it stands. */
interface BareNumber {
  readonly at: number
  readonly text: string
}

const bareWords: Readonly<Record<string, string>> = { NaN: '"NaN"', Infinity: '1e999', '-Infinity': '-1e999' }

function withoutBareNumbers(text: string, bare: readonly BareNumber[]): string {
  let from = 0
  const parts: string[] = []
  for (const { at, text: word } of bare) {
    parts.push(text.slice(from, at), bareWords[word] as string)
    from = at + word.length
  }
  return parts.join('') + text.slice(from)
}

const token =
  // oxlint-disable-next-line no-control-regex -- JSON forbids control characters in its texts
  /[ \t\n\r]*(?:([{}[\],:])|("(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")|(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.+-])|(?:true|false|null)(?!\w))|(NaN|-?Infinity)(?!\w))/y

/** What a place of the text asks for, in words. */
type Expects = 'a value' | 'a value or ]' | 'a name in quotes or }' | 'a name in quotes' | ':' | ', or ]' | ', or }' | 'the end'

/** Walks the tokens of a text. Finds bare numbers, and the first place that is wrong. */
function scan(text: string): { readonly bare: readonly BareNumber[]; readonly problem?: string } {
  const bare: BareNumber[] = []
  const open: ('{' | '[')[] = []
  let expects: Expects = 'a value'
  const afterValue = (): Expects => {
    const inner = open.at(-1)
    return inner === undefined ? 'the end' : inner === '{' ? ', or }' : ', or ]'
  }
  let at = 0
  for (;;) {
    token.lastIndex = at
    const match = token.exec(text)
    if (match === null) break
    const [whole, mark, string, literal, word] = match
    const start = at + whole.length - (mark ?? string ?? literal ?? word ?? '').length
    const wanted: Expects | undefined = next(expects, mark, string !== undefined)
    if (wanted === undefined) return { bare, problem: met(text, start, expects) }
    if (mark === '{' || mark === '[') open.push(mark)
    if (mark === '}' || mark === ']') open.pop()
    if (word !== undefined) bare.push({ at: start, text: word })
    expects = wanted === 'the end' ? afterValue() : wanted
    at = token.lastIndex
  }
  const rest = text.slice(at).search(/[^ \t\n\r]/)
  if (rest < 0 && expects === 'the end') return { bare }
  return { bare, problem: met(text, rest < 0 ? text.length : at + rest, expects) }
}

/** What may follow a token: `the end` for what follows a whole value; undefined where the token may not stand here. */
function next(expects: Expects, mark: string | undefined, isString: boolean): Expects | undefined {
  switch (expects) {
    case 'a name in quotes':
    case 'a name in quotes or }':
      if (isString) return ':'
      return mark === '}' && expects === 'a name in quotes or }' ? 'the end' : undefined
    case ':':
      return mark === ':' ? 'a value' : undefined
    case ', or ]':
      return mark === ',' ? 'a value' : mark === ']' ? 'the end' : undefined
    case ', or }':
      return mark === ',' ? 'a name in quotes' : mark === '}' ? 'the end' : undefined
    case 'the end':
      return undefined
    case 'a value':
    case 'a value or ]':
      if (mark === undefined) return 'the end'
      if (mark === '{') return 'a name in quotes or }'
      if (mark === '[') return 'a value or ]'
      return mark === ']' && expects === 'a value or ]' ? 'the end' : undefined
  }
}

function met(text: string, at: number, expects: Expects): string {
  const place = `in line ${lineOf(text, at)}`
  if (at >= text.length) return `it is not JSON: it ends ${place} where ${expects} is expected`
  const word = /^(?:"[^"\n]{0,30}"?|[\w.+-]{1,30}|[^]{1})/u.exec(text.slice(at, at + 40))?.[0] ?? ''
  return `it is not JSON: ${quote(word)} found ${place} where ${expects} is expected`
}

function lineOf(text: string, at: number): number {
  let line = 1
  for (let end = text.indexOf('\n'); end >= 0 && end < at; end = text.indexOf('\n', end + 1)) line++
  return line
}
