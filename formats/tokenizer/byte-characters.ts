/** The characters by which byte-level BPE writes bytes (bytes_to_unicode of GPT-2): printable ones stand for themselves. */
const characters = ((): readonly string[] => {
  const isPrintable = (byte: number): boolean => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174
  let next = 256
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : next++))
})()

/** Bytes as a vocabulary of byte-level BPE writes them. @param bytes a character below 256 for each. */
export function showBytes(bytes: string): string {
  return Array.from(bytes, (byte) => characters[byte.charCodeAt(0)]).join('')
}
