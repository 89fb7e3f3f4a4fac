import type { MetadataValue } from '../gguf/types.js'

/** The files of a checkpoint that describe its tokenizer, parsed; undefined where one is missing. */
export interface TokenizerFiles {
  /** The path or address of a file of the checkpoint, for messages. */
  readonly pathOf: (name: string) => string
  /** tokenizer.json. */
  readonly tokenizer?: unknown
  /** tokenizer_config.json. */
  readonly config?: unknown
  /** special_tokens_map.json. */
  readonly specialTokensMap?: unknown
  /** config.json, for the ids of special tokens. */
  readonly modelConfig?: unknown
  /** generation_config.json, for the same. */
  readonly generationConfig?: unknown
  /** added_tokens.json. */
  readonly addedTokens?: unknown
  /** tokenizer.model, or a SentencePiece model of another name. */
  readonly sentencePiece?: { readonly name: string; readonly bytes: Uint8Array } | undefined
  /** The text of rwkv_vocab_v20230424.txt. */
  readonly rwkvVocabulary?: string | undefined
  /** The text of tiktoken.model, or a file of ranks of another name. */
  readonly tokenRanks?: { readonly name: string; readonly text: string } | undefined
  /** tekken.json. */
  readonly tekken?: unknown
  /** The text of chat_template.jinja. */
  readonly chatTemplate?: string | undefined
  /** The texts of additional_chat_templates/NAME.jinja, by name: they count beside chat_template.jinja. */
  readonly additionalTemplates?: ReadonlyMap<string, string>
  /** chat_template.json. */
  readonly chatTemplateJson?: unknown
}

export interface TokenizerOptions {
  /** Rows of the model's embedding: the vocabulary is filled up to it. By default as many as there are tokens. */
  readonly vocabularySize?: number
  /** llama.cpp's name of the pre-tokenizer, where it is not to be recognised. */
  readonly pre?: string | undefined
  /** What the family calls a pre-tokenizer, by the name of another that splits alike and is recognised in its place. */
  readonly preNames?: Readonly<Record<string, string>>
  /** tokenizer.ggml.model, where the files do not say it: `gemma4` is BPE with byte fallback that llama.cpp merges by pairs. */
  readonly model?: 'gemma4' | undefined
}

/** A key and its value. */
export type TokenizerEntry = readonly [string, MetadataValue]

/** The metadata of a tokenizer, in the order of llama.cpp's converter. */
export interface TokenizerMetadata {
  readonly entries: readonly TokenizerEntry[]
  /** What the user should know. */
  readonly notes: readonly string[]
}

/** One way to write a tokenizer down. */
export interface TokenizerKind {
  /** What to call it in messages. */
  readonly name: string
  /** Whether the files hold this kind. */
  detect(files: TokenizerFiles): boolean
  /** @throws FormatError TOKENIZER_INVALID, TOKENIZER_UNSUPPORTED, PRE_TOKENIZER_UNKNOWN. */
  metadata(files: TokenizerFiles, options: TokenizerOptions): TokenizerMetadata
}
