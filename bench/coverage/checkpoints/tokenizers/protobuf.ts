/** Fields of a protobuf message, of the kinds that SentencePiece's model file has. Source: protobuf.dev/programming-guides/encoding. */
export function varintField(field: number, value: number): number[] {
  return [...varint(field * 8), ...varint(value)]
}

export function bytesField(field: number, content: Iterable<number>): number[] {
  const bytes = [...content]
  return [...varint(field * 8 + 2), ...varint(bytes.length), ...bytes]
}

export function textField(field: number, text: string): number[] {
  return bytesField(field, Buffer.from(text))
}

export function floatField(field: number, value: number): number[] {
  return [...varint(field * 8 + 5), ...new Uint8Array(Float32Array.of(value).buffer)]
}

/** Values below 2^31, and -1 as 64 bits of ones. */
function varint(value: number): number[] {
  if (value < 0) return [...Array.from({ length: 9 }, () => 0xff), 0x01]
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >>> 7)]
}
