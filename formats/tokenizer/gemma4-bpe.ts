import type { AddedToken } from './added-tokens.js'
import { chatTemplates } from './chat-template.js'
import type { JsonObject } from './json.js'
import { specialTokenEntries } from './special-token-entries.js'
import type { TokenizerEntry, TokenizerFiles, TokenizerMetadata } from './types.js'
import { buildVocabulary, readMerges, tokenTypes } from './vocabulary.js'

interface ReadTokenizer {
  /** Ids of the model's own tokens. */
  readonly ids: ReadonlyMap<string, number>
  readonly added: { readonly tokens: readonly AddedToken[]; readonly notes: readonly string[] }
  /** Of tokenizer.json. */
  readonly model: JsonObject
  readonly size: number | undefined
  readonly file: string
}

/** Special tokens that llama.cpp shows all the same, so that what reads a chat can find them. Source: Gemma4Model of conversion/gemma.py. */
const shown: ReadonlySet<string> = new Set(
  '<|channel> <channel|> <|tool_call> <tool_call|> <|tool_response> <tool_response|> <|"|>'.split(' '),
)

/** The metadata of Gemma 4's tokenizer: BPE with byte fallback whose pairs are merged in their order, as tokenizers does. No score counts. */
export function gemma4Metadata(files: TokenizerFiles, { ids, added, model, size, file }: ReadTokenizer): TokenizerMetadata {
  const { tokens, types } = buildVocabulary(ids, added.tokens, size, file)
  const kinds = types.map((type, id) => {
    const text = tokens[id] as string
    if (shown.has(text)) return tokenTypes.userDefined
    return /^<0x[0-9A-Fa-f]{2}>$/.test(text) ? tokenTypes.byte : type
  })
  const templates = chatTemplates(files)
  const special = specialTokenEntries(files, { tokens, addedTokens: added.tokens, template: templates.text })
  const key = (name: string): string => `tokenizer.ggml.${name}`
  const entries: TokenizerEntry[] = [
    [key('model'), { type: 'string', value: 'gemma4' }],
    [key('tokens'), { type: 'array', elementType: 'string', value: tokens }],
    [key('scores'), { type: 'array', elementType: 'float32', value: Array<number>(tokens.length).fill(-1000) }],
    [key('token_type'), { type: 'array', elementType: 'int32', value: kinds }],
    [key('merges'), { type: 'array', elementType: 'string', value: readMerges(model, file) }],
    ...special.entries,
    ...templates.entries,
  ]
  return { entries, notes: [...added.notes, ...special.notes, ...templates.notes] }
}
