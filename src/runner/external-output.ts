/** What llama-perplexity writes, line by line. Source: tools/perplexity/perplexity.cpp of llama.cpp. */
type Lines = readonly string[]

/** `calculating perplexity over 99 chunks, n_ctx=512, ...` */
export function parseSetup(lines: Lines): { readonly chunks: number } | undefined {
  const match = find(lines, /calculating perplexity over (\d+) chunks/)
  return match && { chunks: Number(match[1]) }
}

/** The perplexity of a text, and its standard error, which only the last line gives. */
export interface Estimate {
  readonly perplexity: number
  readonly standardError?: number
}

/**
 * `Final estimate: PPL = 40.4321 +/- 0.64579`, or, where that is missing, the last chunk's `[99]40.4321,`: llama-perplexity 0.7.0 ends
 * now and then before its log is written out.
 */
export function parseEstimate(lines: Lines): Estimate | undefined {
  const final = find(lines, /Final estimate: PPL = ([\d.e+-]+) \+\/- ([\d.e+-]+)/)
  if (final !== undefined) return { perplexity: Number(final[1]), standardError: Number(final[2]) }
  const { chunks } = parseSetup(lines) ?? {}
  const last = find(lines, new RegExp(`\\[${chunks}\\]([\\d.e+-]+),`))
  return last && { perplexity: Number(last[1]) }
}

/** `you need at least 1024 tokens ...`, then `the data file you provided tokenizes to only 14 tokens` */
export function parseTooShort(lines: Lines): { readonly needed: number; readonly tokens: number } | undefined {
  const needed = find(lines, /you need at least (\d+) tokens/)
  const tokens = find(lines, /tokenizes to only (\d+) tokens/)
  return needed && tokens && { needed: Number(needed[1]), tokens: Number(tokens[1]) }
}

function find(lines: Lines, pattern: RegExp): RegExpExecArray | undefined {
  for (const line of lines) {
    const match = pattern.exec(line)
    if (match !== null) return match
  }
  return undefined
}
