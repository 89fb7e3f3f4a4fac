import type { ByteSource } from '../byte-source.js'
import { FormatError } from '../format-error.js'
import { fixedBytes, type LogitsHeader, logitsFileBytes, magic, rowHeadUnits, rowOffset, rowUnits } from './layout.js'

/** Bounds of what is believed: more than any model has. */
const maxContext = 2 ** 24
const maxVocabulary = 2 ** 24

/**
 * Reads what a file of logits is about, and checks that all its rows are there.
 * @throws FormatError LOGITS_INVALID; INPUT_TRUNCATED where it ends early, as after a llama-perplexity that was stopped.
 */
export async function readLogitsHeader(source: ByteSource): Promise<LogitsHeader> {
  const fail = (problem: string): FormatError => new FormatError('LOGITS_INVALID', { file: source.name, problem })
  const fixed = await source.slice(0, fixedBytes)
  if (new TextDecoder().decode(fixed.subarray(0, magic.length)) !== magic) throw fail(`it does not begin with ${magic}`)
  const view = new DataView(fixed.buffer, fixed.byteOffset + magic.length, 12)
  const contextLength = view.getUint32(0, true)
  const vocabulary = view.getInt32(4, true)
  const chunks = view.getInt32(8, true)
  if (contextLength < 3 || contextLength > maxContext) throw fail(`its context length is ${contextLength}`)
  if (vocabulary < 1 || vocabulary > maxVocabulary) throw fail(`its vocabulary has ${vocabulary} tokens`)
  if (chunks < 1) throw fail(`it has ${chunks} chunks`)
  const shape = { contextLength, vocabulary, chunks }
  const wanted = logitsFileBytes(shape)
  const present = source.byteLength
  if (present < wanted) throw new FormatError('INPUT_TRUNCATED', { file: source.name, wanted, present })
  if (present > wanted) throw fail(`it has ${present - wanted} bytes too many`)
  const bytes = await source.slice(fixedBytes, rowOffset(shape, 0))
  const tokens = new Int32Array(aligned(bytes).buffer, 0, contextLength * chunks)
  if (!tokens.every((token) => token >= 0 && token < vocabulary)) throw fail('it names tokens that its vocabulary does not have')
  return { ...shape, tokens }
}

/**
 * Rows `first` to `first + count` of a file, as one array; see decodeRow.
 * @throws FormatError LOGITS_INVALID where a row's scale or minimum is not a number that llama-perplexity could have written.
 */
export async function readLogitsRows(
  source: ByteSource,
  header: LogitsHeader,
  first: number,
  count: number,
): Promise<Uint16Array[]> {
  const units = rowUnits(header.vocabulary)
  const bytes = aligned(await source.slice(rowOffset(header, first), rowOffset(header, first + count)))
  return Array.from({ length: count }, (_, index) => {
    const row = new Uint16Array(bytes.buffer, 2 * units * index, units)
    const [scale = Number.NaN, minimum = Number.NaN] = new Float32Array(bytes.buffer, 2 * units * index, rowHeadUnits / 2)
    if (!(scale >= 0 && Number.isFinite(scale) && Number.isFinite(minimum))) {
      throw new FormatError('LOGITS_INVALID', { file: source.name, problem: `row ${first + index} holds no probabilities` })
    }
    return row
  })
}

/** The bytes at the start of a buffer of their own. */
function aligned(bytes: Uint8Array): { readonly buffer: ArrayBuffer } {
  const { buffer, byteOffset, byteLength } = bytes
  if (byteOffset === 0 && buffer instanceof ArrayBuffer) return { buffer }
  return { buffer: Uint8Array.from(bytes).buffer.slice(0, byteLength) }
}
