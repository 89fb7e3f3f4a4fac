import type { MetadataValue } from '../gguf/types.js'
import type { SpecialKind } from './post-processor.js'
import { findSpecialTokens, type KnownVocabulary } from './special-tokens.js'
import type { TokenizerEntry, TokenizerFiles } from './types.js'

/** The keys that hold the ids of special tokens, in llama.cpp's spelling. */
const idKeys: Readonly<Partial<Record<SpecialKind, string>>> = {
  bos: 'bos_token_id',
  eos: 'eos_token_id',
  unk: 'unknown_token_id',
  sep: 'seperator_token_id',
  pad: 'padding_token_id',
  mask: 'mask_token_id',
  eot: 'eot_token_id',
  eom: 'eom_token_id',
}
const addKeys: Readonly<Partial<Record<SpecialKind, string>>> = {
  bos: 'add_bos_token',
  eos: 'add_eos_token',
  sep: 'add_sep_token',
}

/** The metadata of the special tokens: their ids, then which of them a tokenizer adds by itself. */
export function specialTokenEntries(
  files: TokenizerFiles,
  vocabulary: KnownVocabulary,
): { readonly entries: readonly TokenizerEntry[]; readonly notes: readonly string[] } {
  const { ids, added, notes } = findSpecialTokens(files, vocabulary)
  return {
    entries: [
      ...entriesOf(ids, idKeys, (value) => ({ type: 'uint32', value })),
      ...entriesOf(added, addKeys, (value) => ({ type: 'bool', value })),
    ],
    notes,
  }
}

function entriesOf<Value>(
  found: ReadonlyMap<SpecialKind, Value>,
  keys: Readonly<Partial<Record<SpecialKind, string>>>,
  make: (value: Value) => MetadataValue,
): TokenizerEntry[] {
  return [...found].flatMap(([kind, value]): TokenizerEntry[] => {
    const key = keys[kind]
    return key === undefined ? [] : [[`tokenizer.ggml.${key}`, make(value)]]
  })
}
