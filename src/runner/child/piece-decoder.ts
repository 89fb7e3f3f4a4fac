/** Turns the bytes of tokens into text that is never cut inside a character: what is begun waits for the token that ends it. */
export interface PieceDecoder {
  /** Text that is whole by now; may be empty. */
  push(bytes: Uint8Array): string
  /** What never became whole, as U+FFFD. */
  end(): string
}

export function pieceDecoder(): PieceDecoder {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  return { push: (bytes) => decoder.decode(bytes, { stream: true }), end: () => decoder.decode() }
}
