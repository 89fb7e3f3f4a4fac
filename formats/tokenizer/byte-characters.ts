/** The characters by which byte-level BPE writes bytes (bytes_to_unicode of GPT-2): printable ones stand for themselves. */
const characters = ((): readonly string[] => {
  const isPrintable = (byte: number): boolean => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174
  let next = 256
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : next++))
})()

const bytes: ReadonlyMap<string, number> = new Map(characters.map((character, byte) => [character, byte]))

/** The text that a token of byte-level BPE stands for; U+FFFD in place of bytes that are no whole character. */
export function readBytes(token: string): string {
  return new TextDecoder().decode(Uint8Array.from(token, (character) => bytes.get(character) ?? 0xff))
}

/** Bytes as a vocabulary of byte-level BPE writes them. @param bytes a character below 256 for each. */
export function showBytes(bytes: string): string {
  return Array.from(bytes, (byte) => characters[byte.charCodeAt(0)]).join('')
}
