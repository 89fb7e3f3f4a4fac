import { FormatError } from '../format-error.js'

/** A piece of a SentencePiece vocabulary; its id is its place. */
export interface SentencePiece {
  readonly text: string
  readonly score: number
  /** 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte: as GGUF counts. */
  readonly type: number
}

/** What a tokenizer.model says. */
export interface SentencePieceModel {
  readonly pieces: readonly SentencePiece[]
  readonly kind: 'unigram' | 'bpe' | 'word' | 'char'
  /** Whether a blank is put before a text. */
  readonly addDummyPrefix: boolean
  readonly removeExtraWhitespaces: boolean
  /** The table by which text is normalized; empty for none. */
  readonly precompiledCharsmap: Uint8Array
}

const kinds = ['unigram', 'bpe', 'word', 'char'] as const
/** More than any vocabulary has. */
const maxPieces = 2 ** 22

/**
 * Whether a file can be a SentencePiece model: it begins with the tag of its first piece. The files of tiktoken, which have the same name,
 * are text.
 */
export function looksLikeSentencePiece(bytes: Uint8Array): boolean {
  return bytes[0] === 0x0a
}

/**
 * Reads a SentencePiece model, a message of protocol buffers.
 * Source: src/sentencepiece_model.proto of github.com/google/sentencepiece, version 0.2.
 * @throws FormatError TOKENIZER_INVALID.
 */
export function readSentencePieceModel(bytes: Uint8Array, file: string): SentencePieceModel {
  const fail = (problem: string): FormatError => new FormatError('TOKENIZER_INVALID', { file, problem })
  const pieces: SentencePiece[] = []
  let kind = 1
  let normalizer: Fields = new Map()
  for (const [field, value] of fieldsOf(bytes, fail)) {
    if (field === 1 && value instanceof Uint8Array) {
      if (pieces.length === maxPieces) throw fail(`it has more than ${maxPieces} pieces`)
      pieces.push(readPiece(lastFields(value, fail), pieces.length, fail))
    } else if (field === 2 && value instanceof Uint8Array) {
      kind = numberOf(lastFields(value, fail).get(3), kind)
    } else if (field === 3 && value instanceof Uint8Array) {
      normalizer = lastFields(value, fail)
    }
  }
  const name = kinds[kind - 1]
  if (name === undefined) throw fail(`its model_type is ${kind}`)
  if (pieces.length === 0) throw fail('it has no pieces')
  const charsmap = normalizer.get(2)
  return {
    pieces,
    kind: name,
    addDummyPrefix: numberOf(normalizer.get(3), 1) !== 0,
    removeExtraWhitespaces: numberOf(normalizer.get(4), 1) !== 0,
    precompiledCharsmap: charsmap instanceof Uint8Array ? charsmap : new Uint8Array(0),
  }
}

function readPiece(fields: Fields, id: number, fail: (problem: string) => Error): SentencePiece {
  const text = fields.get(1)
  const score = fields.get(2)
  if (!(text instanceof Uint8Array)) throw fail(`its piece ${id} has no text`)
  try {
    return {
      text: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(text),
      score: score instanceof DataView ? score.getFloat32(0, true) : 0,
      type: numberOf(fields.get(3), 1),
    }
  } catch {
    throw fail(`its piece ${id} is not UTF-8`)
  }
}

/** A number, a fixed field of 4 or 8 bytes, or bytes. */
type FieldValue = number | DataView | Uint8Array
type Fields = ReadonlyMap<number, FieldValue>

function numberOf(value: FieldValue | undefined, otherwise: number): number {
  return typeof value === 'number' ? value : otherwise
}

function lastFields(bytes: Uint8Array, fail: (problem: string) => Error): Fields {
  return new Map(fieldsOf(bytes, fail))
}

/** The fields of a message, in order. */
function* fieldsOf(bytes: Uint8Array, fail: (problem: string) => Error): Generator<[number, FieldValue]> {
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at]
      // Negative numbers take ten bytes and are not exact here; none of them is asked for.
      if (byte === undefined || scale > 2 ** 70) throw fail('it is not a SentencePiece model: a number does not end')
      at++
      value += (byte & 127) * scale
      if (byte < 128) return value
    }
  }
  const take = (length: number): Uint8Array => {
    if (!(length <= bytes.byteLength - at)) throw fail('it is not a SentencePiece model, or ends early')
    at += length
    return bytes.subarray(at - length, at)
  }
  const fixed = (length: number): DataView => {
    const part = take(length)
    return new DataView(part.buffer, part.byteOffset, length)
  }
  while (at < bytes.byteLength) {
    const tag = varint()
    const field = Math.floor(tag / 8)
    switch (tag % 8) {
      case 0:
        yield [field, varint()]
        break
      case 1:
        yield [field, fixed(8)]
        break
      case 2:
        yield [field, take(varint())]
        break
      case 5:
        yield [field, fixed(4)]
        break
      default:
        throw fail('it is not a SentencePiece model')
    }
  }
}
