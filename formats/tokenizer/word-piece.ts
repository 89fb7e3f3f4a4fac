import { FormatError } from '../format-error.js'
import type { MetadataValue } from '../gguf/types.js'
import { readAddedTokens } from './added-tokens.js'
import { chatTemplates } from './chat-template.js'
import { asObject, type JsonObject } from './json.js'
import { normalizerEntries, normalizerSteps } from './normalizer.js'
import { preTokenizerSteps } from './pre-tokenizer.js'
import { checkPreTokenizerName } from './pre-tokenizer-names.js'
import { specialTokenEntries } from './special-token-entries.js'
import type { TokenizerKind, TokenizerMetadata } from './types.js'
import { buildVocabulary, readVocabularyIds, tokenTypes } from './vocabulary.js'

/** What llama.cpp's converter finds for BERT and its kin; llama.cpp itself asks for it with byte-level BPE alone. */
const usualPre = 'jina-v2-en'

/** WordPiece in tokenizer.json, as BERT has it: model `bert`. */
export const wordPiece: TokenizerKind = {
  name: 'WordPiece',
  detect: ({ tokenizer }) => asObject(asObject(tokenizer)?.['model'])?.['type'] === 'WordPiece',
  metadata(files, options): TokenizerMetadata {
    const file = files.pathOf('tokenizer.json')
    const tokenizer = asObject(files.tokenizer) ?? {}
    const model = asObject(tokenizer['model']) ?? {}
    const problem = wordPieceProblem(tokenizer, model)
    if (options.pre === undefined && problem !== undefined) throw new FormatError('PRE_TOKENIZER_UNKNOWN', { file, problem })
    const pre = options.pre === undefined ? usualPre : checkPreTokenizerName(options.pre, file)
    const ids = readVocabularyIds(model, file)
    const added = readAddedTokens(tokenizer, asObject(files.config) ?? {}, ids, options.vocabularySize, file)
    const { tokens, types } = buildVocabulary(ids, added.tokens, options.vocabularySize, file)
    const templates = chatTemplates(files)
    const special = specialTokenEntries(files, { tokens, addedTokens: added.tokens, template: templates.text })
    const text = (value: string): MetadataValue => ({ type: 'string', value })
    return {
      entries: [
        ['tokenizer.ggml.model', text('bert')],
        ['tokenizer.ggml.pre', text(pre)],
        [
          'tokenizer.ggml.tokens',
          { type: 'array', elementType: 'string', value: tokens.map((token, id) => phantom(token, types[id])) },
        ],
        ['tokenizer.ggml.token_type', { type: 'array', elementType: 'int32', value: [...types] }],
        ...special.entries,
        ...templates.entries,
        ...normalizerEntries(tokenizer['normalizer']),
      ],
      notes: [...added.notes, ...special.notes, ...templates.notes],
    }
  },
}

/** Beginnings of words are marked, and not what goes on in them. */
function phantom(token: string, type: number | undefined): string {
  if (type === tokenTypes.control) return token
  return token.startsWith('##') ? token.slice(2) : `▁${token}`
}

/** What a WordPiece tokenizer does that llama.cpp's does not; undefined for nothing. */
function wordPieceProblem(tokenizer: JsonObject, model: JsonObject): string | undefined {
  const prefix = model['continuing_subword_prefix'] ?? '##'
  if (prefix !== '##') return `its continuing_subword_prefix is ${JSON.stringify(prefix)}`
  const bert = normalizerSteps(tokenizer['normalizer']).find((step) => step['type'] === 'BertNormalizer')
  if (bert === undefined) return 'its normalizer is not that of BERT'
  if (bert['lowercase'] === false) return 'it is cased, and llama.cpp converts text to lower case'
  const step = preTokenizerSteps(tokenizer['pre_tokenizer']).find(({ type }) => type !== 'BertPreTokenizer')
  return step === undefined ? undefined : `it has the step ${JSON.stringify(step['type'] ?? null)}`
}
