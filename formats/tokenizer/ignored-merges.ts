import type { JsonObject } from './json.js'
import { mergeParts } from './merge-parts.js'

/**
 * Names of pre-tokenizers with which llama.cpp takes a piece of text that is a token as it stands, whatever the merges would make of it.
 * Source: llama_vocab::impl::load, src/llama-vocab.cpp of v0.7.0.
 */
const ignoringMerges: ReadonlySet<string> = new Set(
  'minicpm5 llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano youtu tekken granite-embed-multi-97m'.split(
    ' ',
  ),
)

/**
 * Notes on merges that Hugging Face tokenizers does otherwise than llama.cpp: tokens that no merges make, where one of the two takes them as
 * they stand (`ignore_merges`), and merges that are left out at random.
 * @param model of tokenizer.json. @param pre the name of the pre-tokenizer in the file.
 * @param texts of the model's own tokens that no text is searched for before merging. @param merges as GGUF writes them.
 */
export function mergeNotes(model: JsonObject, pre: string, texts: Iterable<string>, merges: readonly string[]): string[] {
  const notes: string[] = []
  const dropout = model['dropout']
  if (typeof dropout === 'number' && dropout > 0) {
    notes.push(`tokenizer.json has BPE dropout ${dropout}, which llama.cpp does not apply.`)
  }
  const ignores = model['ignore_merges'] === true
  if (ignores === ignoringMerges.has(pre)) return notes
  const apart = tokensNotMerged(texts, merges)
  if (apart.length > 0) {
    const shown = apart.slice(0, 3).map((text) => JSON.stringify(text))
    const tokens = apart.length === 1 ? '1 token' : `${apart.length} tokens`
    const get = apart.length === 1 ? 'gets another id' : 'get other ids'
    notes.push(
      `tokenizer.json has ignore_merges ${ignores}, and llama.cpp does the opposite with the pre-tokenizer ${pre}: ${tokens} that no merges make (such as ${shown.join(', ')}) ${get}.`,
    )
  }
  return notes
}

/** Texts of more than one character that the merges do not make one token of. */
function tokensNotMerged(texts: Iterable<string>, merges: readonly string[]): string[] {
  const ranks = new Map(merges.map((merge, rank) => [merge, rank]))
  const rankOf = (left: string, right: string): number | undefined => ranks.get(`${left} ${right}`)
  return [...texts].filter((text) => mergeParts(Array.from(text), rankOf).length > 1)
}
