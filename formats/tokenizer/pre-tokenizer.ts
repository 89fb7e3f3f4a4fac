import { FormatError } from '../format-error.js'
import { asObject, asText, type JsonObject } from './json.js'
import {
  classicSplit,
  eachPunctuation,
  type KnownPreTokenizer,
  knownPreTokenizers,
  punctuationRuns,
} from './known-pre-tokenizers.js'
import { stepsOf } from './steps.js'

/**
 * The way in which a tokenizer splits text before merging, with llama.cpp's name of it, recognised from the regular expressions of tokenizer.json. It
 * depends on no vocabulary, unlike llama.cpp's converter, which compares a hash of token ids.
 * @param tokens whether a text is one of the tokenizer's own (added) tokens: some names differ in nothing else.
 * @throws FormatError PRE_TOKENIZER_UNKNOWN, saying what was found.
 */
export function recognisePreTokenizer(preTokenizer: unknown, tokens: (text: string) => boolean, file: string): KnownPreTokenizer {
  const steps = preTokenizerSteps(preTokenizer).flatMap((step) => splitsOf(step, file))
  const found = knownPreTokenizers.find(
    ({ regexes, token }) =>
      regexes.length === steps.length &&
      regexes.every((regex, index) => canonical(regex) === steps[index]) &&
      (token === undefined || tokens(token)),
  )
  if (found === undefined)
    throw unknown(file, `it splits text by ${steps.map((step) => shorten(step)).join(', then ') || 'nothing'}`)
  return found
}

/** The steps of a pre-tokenizer in a row, however they are nested. */
export function preTokenizerSteps(preTokenizer: unknown): JsonObject[] {
  return stepsOf(preTokenizer, 'pretokenizers')
}

/** The regular expressions that a step splits a text by: one or none. */
function splitsOf(preTokenizer: JsonObject, file: string): string[] {
  switch (preTokenizer['type']) {
    case 'Split': {
      const pattern = asObject(preTokenizer['pattern'])
      const regex = asText(pattern?.['Regex']) ?? escapeRegex(asText(pattern?.['String']))
      // What matches becomes a piece either way: with Removed and invert, what lies between the matches is removed, and nothing does.
      const inverted = preTokenizer['invert'] === true
      const behavior = preTokenizer['behavior']
      if (regex === undefined || behavior !== (inverted ? 'Removed' : 'Isolated')) {
        throw unknown(file, `it splits text with the behavior ${JSON.stringify(behavior)}`)
      }
      return [canonical(regex)]
    }
    case 'Digits':
      return [canonical(preTokenizer['individual_digits'] === true ? String.raw`\p{N}` : String.raw`\p{N}+`)]
    case 'Punctuation':
      switch (preTokenizer['behavior'] ?? 'Isolated') {
        case 'Contiguous':
          return [canonical(punctuationRuns)]
        case 'Isolated':
          return [canonical(eachPunctuation)]
        default:
          throw unknown(file, `it splits punctuation with the behavior ${JSON.stringify(preTokenizer['behavior'])}`)
      }
    case 'ByteLevel':
      return preTokenizer['use_regex'] === false ? [] : [canonical(classicSplit)]
    default:
      throw unknown(file, `it has the step ${JSON.stringify(preTokenizer['type'] ?? null)}`)
  }
}

/** The same expression, however it is written: escapes of control characters, needless escapes, the two ways to ignore case. */
function canonical(regex: string): string {
  return regex
    .replaceAll('\r', String.raw`\r`)
    .replaceAll('\n', String.raw`\n`)
    .replaceAll(String.raw`\"`, '"')
    .replaceAll("(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])", "(?i:'s|'t|'re|'ve|'m|'ll|'d)")
}

function escapeRegex(text: string | undefined): string | undefined {
  return text?.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)
}

function shorten(regex: string): string {
  return regex.length <= 60 ? regex : `${regex.slice(0, 57)}...`
}

function unknown(file: string, problem: string): FormatError {
  return new FormatError('PRE_TOKENIZER_UNKNOWN', { file, problem })
}
