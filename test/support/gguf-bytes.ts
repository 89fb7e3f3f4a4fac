/** Writes GGUF by hand, byte by byte as docs/gguf.md of ggml says, for files that no writer would make. */
export interface GgufBytes {
  readonly u8: (value: number) => Uint8Array
  readonly u32: (value: number) => Uint8Array
  readonly u64: (value: number | bigint) => Uint8Array
  readonly f32: (value: number) => Uint8Array
  readonly text: (value: string) => Uint8Array
  /** A tensor's line in the header. */
  readonly tensor: (name: string, dimensions: readonly (number | bigint)[], type: number, offset: number | bigint) => Uint8Array
  /** The front of a file: magic, version, counts, then `keys` and `tensors`, padded to `alignment`. */
  readonly header: (
    keys: readonly Uint8Array[],
    tensors: readonly Uint8Array[],
    options?: { readonly version?: number; readonly alignment?: number },
  ) => Uint8Array
}

export function ggufBytes(byteOrder: 'little' | 'big' = 'little'): GgufBytes {
  const littleEndian = byteOrder === 'little'
  const number = (size: number, write: (view: DataView) => void): Uint8Array => {
    const bytes = new Uint8Array(size)
    write(new DataView(bytes.buffer))
    return bytes
  }
  const self: GgufBytes = {
    u8: (value) => Uint8Array.of(value),
    u32: (value) => number(4, (view) => view.setUint32(0, value, littleEndian)),
    u64: (value) => number(8, (view) => view.setBigUint64(0, BigInt(value), littleEndian)),
    f32: (value) => number(4, (view) => view.setFloat32(0, value, littleEndian)),
    text: (value) => concat([self.u64(Buffer.byteLength(value)), Buffer.from(value)]),
    tensor: (name, dimensions, type, offset) =>
      concat([self.text(name), self.u32(dimensions.length), ...dimensions.map(self.u64), self.u32(type), self.u64(offset)]),
    header(keys, tensors, { version = 3, alignment = 32 } = {}) {
      const counts = [self.u64(tensors.length), self.u64(keys.length)]
      const bytes = concat([Buffer.from('GGUF'), self.u32(version), ...counts, ...keys, ...tensors])
      return concat([bytes, new Uint8Array((alignment - (bytes.byteLength % alignment)) % alignment)])
    },
  }
  return self
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}
