const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Text of a GGUF. Bytes that are not UTF-8 become half surrogates, U+DC80 to U+DCFF for 0x80 to 0xff, which no UTF-8 holds, so that they
 * can be written as they were: Python's `surrogateescape` (PEP 383).
 */
export function decodeBytes(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes)
  } catch {
    return decodeEscaped(bytes)
  }
}

function decodeEscaped(bytes: Uint8Array): string {
  const parts: string[] = []
  let validFrom = 0
  for (let at = 0; at < bytes.length; ) {
    const length = sequenceLength(bytes, at)
    if (length > 0) {
      at += length
      continue
    }
    parts.push(utf8.decode(bytes.subarray(validFrom, at)), String.fromCharCode(0xdc00 + (bytes[at] as number)))
    at += 1
    validFrom = at
  }
  parts.push(utf8.decode(bytes.subarray(validFrom)))
  return parts.join('')
}

/** Bytes of the character at a place; 0 where there is none. */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at] as number
  const length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0
  if (length < 2 || at + length > bytes.length) return length === 1 ? 1 : 0
  const second = bytes[at + 1] as number
  const isWithin =
    (first !== 0xe0 || second >= 0xa0) && // shorter forms
    (first !== 0xed || second < 0xa0) && // surrogates
    (first !== 0xf0 || second >= 0x90) &&
    (first !== 0xf4 || second < 0x90) // beyond U+10FFFF
  const rest = bytes.subarray(at + 1, at + length)
  return isWithin && rest.every((byte) => (byte & 0xc0) === 0x80) ? length : 0
}

/** Whether a text holds bytes that are not UTF-8. */
export function holdsRawBytes(text: string): boolean {
  return !isWellFormed(text)
}

/** The bytes that decodeBytes has read a text from. */
export function encodeBytes(text: string): Uint8Array {
  if (isWellFormed(text)) return Buffer.from(text)
  // Every code point by itself, so that a half surrogate is one.
  const parts = Array.from(text, (character) => {
    const code = character.charCodeAt(0)
    return character.length === 1 && code >= 0xdc80 && code <= 0xdcff ? Uint8Array.of(code - 0xdc00) : Buffer.from(character)
  })
  return Buffer.concat(parts)
}

function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text)
}
