import { FormatError } from '../format-error.js'
import { byteFallbackBpe } from './byte-fallback-bpe.js'
import { byteLevelBpe } from './byte-level-bpe.js'
import { asObject } from './json.js'
import { rwkvWorld } from './rwkv-world.js'
import { sentencePiece } from './sentencepiece.js'
import { tekken } from './tekken.js'
import { tokenRanks } from './token-ranks.js'
import type { TokenizerFiles, TokenizerKind, TokenizerMetadata, TokenizerOptions } from './types.js'
import { unigram } from './unigram.js'
import { wordPiece } from './word-piece.js'

export { rwkvVocabularyName } from './rwkv-world.js'
export { tekkenName } from './tekken.js'
export { tokenRanksNames } from './token-ranks.js'
export type { TokenizerEntry, TokenizerFiles, TokenizerMetadata, TokenizerOptions } from './types.js'

/** Every way to write a tokenizer down; the first that a checkpoint's files hold is read. */
const kinds: readonly TokenizerKind[] = [
  byteLevelBpe,
  wordPiece,
  unigram,
  tekken,
  sentencePiece,
  byteFallbackBpe,
  tokenRanks,
  rwkvWorld,
]

/**
 * GGUF metadata of a tokenizer.
 * @throws FormatError TOKENIZER_INVALID; TOKENIZER_UNSUPPORTED for a kind that is not in the table; PRE_TOKENIZER_UNKNOWN.
 */
export function tokenizerMetadata(files: TokenizerFiles, options: TokenizerOptions = {}): TokenizerMetadata {
  const kind = kinds.find((kind) => kind.detect(files))
  if (kind !== undefined) return kind.metadata(files, options)
  const file = files.pathOf('tokenizer.json')
  if (files.tokenizer === undefined && files.sentencePiece !== undefined) {
    const { name } = files.sentencePiece
    throw new FormatError('TOKENIZER_INVALID', { file: files.pathOf(name), problem: 'it is not a SentencePiece model' })
  }
  if (files.tokenizer === undefined) {
    throw new FormatError('TOKENIZER_UNSUPPORTED', {
      file: files.pathOf(''),
      problem: 'there is no tokenizer.json and no tokenizer.model',
    })
  }
  const tokenizer = asObject(files.tokenizer)
  if (tokenizer === undefined) throw new FormatError('TOKENIZER_INVALID', { file, problem: 'it is not a JSON object' })
  throw new FormatError('TOKENIZER_UNSUPPORTED', { file, problem: describe(asObject(tokenizer['model'])) })
}

function describe(model: Readonly<Record<string, unknown>> | undefined): string {
  const type = model?.['type'] ?? (model?.['merges'] === undefined ? null : 'BPE')
  return type === 'BPE' ? 'it is not byte-level (no ByteLevel step)' : `its model is ${JSON.stringify(type)}`
}
