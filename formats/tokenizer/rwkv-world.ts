import { FormatError } from '../format-error.js'
import { chatTemplates } from './chat-template.js'
import type { TokenizerKind, TokenizerMetadata } from './types.js'
import { placeholder, tokenTypes, vocabularySize } from './vocabulary.js'

/** The vocabulary of RWKV's World models. */
export const rwkvVocabularyName = 'rwkv_vocab_v20230424.txt'

/** What an assistant's turn ends with, `\n\n`, in that vocabulary. */
const endOfTurn = 261

/**
 * RWKV's World vocabulary: a line for each token, with its number, its bytes as a literal of Python, and how many they are. Model `rwkv`,
 * whose tokens GGUF holds as Python writes bytes.
 */
export const rwkvWorld: TokenizerKind = {
  name: 'RWKV World',
  detect: ({ rwkvVocabulary, tokenizer }) => rwkvVocabulary !== undefined && tokenizer === undefined,
  metadata(files, options): TokenizerMetadata {
    const file = files.pathOf(rwkvVocabularyName)
    const tokens = ['<s>', ...readLines(files.rwkvVocabulary ?? '', file)]
    const count = vocabularySize([tokens.length - 1], options.vocabularySize, file)
    const texts = new Set(tokens)
    const types = tokens.map((_, id): number => (id === 0 ? tokenTypes.control : tokenTypes.normal))
    for (let id = tokens.length; id < count; id++) {
      tokens.push(placeholder(id, texts))
      types.push(tokenTypes.unused)
    }
    const templates = chatTemplates(files)
    const id = (name: string, value: number) => [`tokenizer.ggml.${name}_token_id`, { type: 'uint32', value }] as const
    return {
      entries: [
        ['tokenizer.ggml.model', { type: 'string', value: 'rwkv' }],
        ['tokenizer.ggml.tokens', { type: 'array', elementType: 'string', value: tokens }],
        ['tokenizer.ggml.token_type', { type: 'array', elementType: 'int32', value: types }],
        id('bos', 0),
        id('eos', 0),
        ...(count > endOfTurn ? [id('eot', endOfTurn)] : []),
        // llama.cpp has a template of this name built in.
        ...(templates.entries.length > 0
          ? templates.entries
          : [['tokenizer.chat_template', { type: 'string', value: 'rwkv-world' }] as const]),
      ],
      notes: templates.notes,
    }
  },
}

/** @throws FormatError TOKENIZER_INVALID, naming the line. */
function readLines(text: string, file: string): string[] {
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  return lines.map((line, index) => {
    const [, id, literal = '', length] = /^(\d+) (.*) (\d+)\r?$/.exec(line) ?? []
    const bytes = parseLiteral(literal)
    if (Number(id) !== index + 1 || bytes === undefined || bytes.byteLength !== Number(length)) {
      throw new FormatError('TOKENIZER_INVALID', {
        file,
        problem: `its line ${index + 1} is not a number, a literal and its length`,
      })
    }
    return showBytes(bytes)
  })
}

const escapes: Readonly<Record<string, number>> = {
  n: 10,
  t: 9,
  r: 13,
  '\\': 92,
  "'": 39,
  '"': 34,
  a: 7,
  b: 8,
  f: 12,
  v: 11,
  0: 0,
}

/** The bytes of a string or bytes literal of Python; undefined where it is none. */
function parseLiteral(literal: string): Uint8Array | undefined {
  const [, prefix, , body = ''] = /^(b?)(['"])(.*)\2$/su.exec(literal) ?? []
  if (prefix === undefined) return undefined
  const isBytes = prefix === 'b'
  const bytes: number[] = []
  const encoder = new TextEncoder()
  for (const [part, escape] of body.matchAll(/\\(x[\da-f]{2}|u[\da-f]{4}|U[\da-f]{8}|.)|[^\\]/gisu)) {
    if (escape === undefined) bytes.push(...encoder.encode(part))
    else if (escape.length === 1) {
      const code = escapes[escape]
      if (code === undefined) return undefined
      bytes.push(code)
    } else {
      const code = Number.parseInt(escape.slice(1), 16)
      if (isBytes) bytes.push(code)
      else bytes.push(...encoder.encode(String.fromCodePoint(code)))
    }
  }
  return Uint8Array.from(bytes)
}

/** As Python writes bytes between quotes, which are double where there is a single one among them and no double. */
function showBytes(bytes: Uint8Array): string {
  const quote = bytes.includes(39) && !bytes.includes(34) ? 34 : 39
  return [...bytes]
    .map((byte) => {
      if (byte === 9) return '\\t'
      if (byte === 10) return '\\n'
      if (byte === 13) return '\\r'
      if (byte === 92 || byte === quote) return `\\${String.fromCharCode(byte)}`
      return byte < 32 || byte >= 127 ? `\\x${byte.toString(16).padStart(2, '0')}` : String.fromCharCode(byte)
    })
    .join('')
}
