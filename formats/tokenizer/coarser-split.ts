import { readBytes } from './byte-characters.js'

/**
 * A note on tokens that llama.cpp may use and the tokenizer does not, since llama.cpp does not split off what the tokenizer splits off.
 * @param pre the name of the pre-tokenizer in the file.
 * @param alone what is split off, one character at a time; undefined where llama.cpp splits as the tokenizer does.
 * @param tokens of the vocabulary, as byte-level BPE writes them, without added ones.
 * @returns none where no token joins such a character to another: then no merge crosses a split.
 */
export function coarserSplitNotes(pre: string, alone: RegExp | undefined, tokens: Iterable<string>): string[] {
  if (alone === undefined) return []
  const joined = [...tokens].map(readBytes).filter((text) => Array.from(text).length > 1 && alone.test(text))
  if (joined.length === 0) return []
  const shown = joined.slice(0, 3).map((text) => JSON.stringify(text))
  return [
    `llama.cpp does not split off each digit and punctuation mark as tokenizer.json does (pre-tokenizer ${pre}): ${joined.length} tokens that join one to other characters (such as ${shown.join(', ')}) are used where the tokenizer would not.`,
  ]
}
