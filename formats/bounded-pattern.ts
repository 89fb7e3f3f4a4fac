import { createContext, Script } from 'node:vm'

/** A regular expression from elsewhere, tried against short texts within a time limit. */
export interface BoundedPattern {
  readonly source: string
  /** Those of some texts that it is found in. @throws PatternTooSlow. */
  matching(texts: readonly string[]): ReadonlySet<string>
}

/** A regular expression took too long to match: it backtracks without end. */
export class PatternTooSlow extends Error {
  override readonly name = 'PatternTooSlow'
}

/** Characters of an expression. */
const maxSource = 1000
/** For all texts of a call: names of tensors have 63 characters, and thousands of them take some milliseconds. */
const maxMs = 2000

const sandbox: { pattern: RegExp; texts: readonly string[] } = { pattern: /(?:)/, texts: [] }
let context: ReturnType<typeof createContext> | undefined
const script = new Script('texts.filter((text) => pattern.test(text))')

/**
 * Compiles a regular expression that a user or a file gave. V8 looks for the end of the time limit while it backtracks, so that an
 * expression such as `(a+)+$` ends in an error and not never.
 * @throws SyntaxError where it is not one, or longer than 1000 characters.
 */
export function boundedPattern(source: string): BoundedPattern {
  if (source.length > maxSource) throw new SyntaxError(`it has ${source.length} characters, and at most ${maxSource} are taken`)
  const pattern = new RegExp(source)
  return {
    source,
    matching(texts) {
      context ??= createContext(sandbox)
      sandbox.pattern = pattern
      sandbox.texts = texts
      try {
        return new Set(script.runInContext(context, { timeout: maxMs }) as string[])
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error
        throw new PatternTooSlow(`the regular expression ${source} takes too long to match`)
      }
    },
  }
}
