/** Bytes of one value of each type that is read as numbers one by one. */
export const plainTypeBytes = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
  F8_E8M0: 1,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const

/** Element types that are read as numbers one by one. */
export type PlainType = keyof typeof plainTypeBytes

export const plainTypes = Object.keys(plainTypeBytes) as PlainType[]

/**
 * Writes stored values as f32. 16- and 8-bit floats and small integers are exact; F64, I64 and I32 round to nearest even.
 * @param bytes the values, little-endian, which is the order of every machine that this runs on.
 * @param target as many places as there are values.
 */
export function decodePlain(dtype: PlainType, bytes: Uint8Array, target: Float32Array): void {
  if (bytes.byteLength !== target.length * plainTypeBytes[dtype]) {
    throw new RangeError(`${bytes.byteLength} bytes for ${target.length} values of ${dtype}`)
  }
  switch (dtype) {
    case 'BF16':
      return widenBfloats(view(Uint16Array, bytes), new Uint32Array(target.buffer, target.byteOffset, target.length))
    case 'F16':
      return lookUp(float16Values(), view(Uint16Array, bytes), target)
    case 'F8_E4M3':
      return lookUp(e4m3Values(), bytes, target)
    case 'F8_E5M2':
      return lookUp(e5m2Values(), bytes, target)
    case 'F8_E8M0':
      return lookUp(e8m0Values(), bytes, target)
    case 'F32':
      return target.set(view(Float32Array, bytes))
    case 'F64':
      return target.set(view(Float64Array, bytes))
    case 'I64': {
      const source = view(BigInt64Array, bytes)
      for (let i = 0; i < target.length; i++) target[i] = Number(source[i])
      return
    }
    case 'I32':
      return target.set(view(Int32Array, bytes))
    case 'I16':
      return target.set(view(Int16Array, bytes))
    case 'I8':
      return target.set(view(Int8Array, bytes))
    case 'U8':
    case 'BOOL':
      return target.set(bytes)
  }
}

/** A bfloat16 is the upper half of an f32. */
function widenBfloats(codes: Uint16Array, target: Uint32Array): void {
  for (let i = 0; i < target.length; i++) target[i] = (codes[i] as number) << 16
}

function lookUp(values: Float32Array, codes: Uint16Array | Uint8Array, target: Float32Array): void {
  for (let i = 0; i < target.length; i++) target[i] = values[codes[i] as number] as number
}

/** A typed array over bytes that may stand anywhere in their buffer. */
function view<T>(
  Type: { new (buffer: ArrayBufferLike, offset: number, length: number): T; readonly BYTES_PER_ELEMENT: number },
  bytes: Uint8Array,
): T {
  const size = Type.BYTES_PER_ELEMENT
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice()
  return new Type(aligned.buffer, aligned.byteOffset, aligned.byteLength / size)
}

const float16Values = once(() => smallFloats({ bits: 16, mantissaBits: 10, bias: 15 }))
const e5m2Values = once(() => smallFloats({ bits: 8, mantissaBits: 2, bias: 15 }))

/** Powers of two for scales: an exponent without sign or mantissa; all ones are NaN. Source: OCP Microscaling Formats 1.0, section 5.4.1. */
const e8m0Values = once(() => Float32Array.from({ length: 256 }, (_, code) => (code === 255 ? Number.NaN : 2 ** (code - 127))))

/** E4M3FN: no infinities; only the code of all ones is NaN. Source: Micikevicius et al., FP8 Formats for Deep Learning, table 1. */
const e4m3Values = once(() => {
  const values = smallFloats({ bits: 8, mantissaBits: 3, bias: 7 })
  for (let mantissa = 0; mantissa < 7; mantissa++) {
    const value = 2 ** 8 * (1 + mantissa / 8)
    values[0x78 | mantissa] = value
    values[0xf8 | mantissa] = -value
  }
  return values
})

/** Every value of a small binary float in IEEE's manner: subnormals, and infinity and NaN at the highest exponent. */
function smallFloats({ bits, mantissaBits, bias }: { bits: number; mantissaBits: number; bias: number }): Float32Array {
  const exponentMask = 2 ** (bits - 1 - mantissaBits) - 1
  const mantissaSize = 2 ** mantissaBits
  return Float32Array.from({ length: 2 ** bits }, (_, code) => {
    const sign = code >> (bits - 1) === 0 ? 1 : -1
    const exponent = (code >> mantissaBits) & exponentMask
    const mantissa = code % mantissaSize
    if (exponent === exponentMask) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
    if (exponent === 0) return sign * 2 ** (1 - bias) * (mantissa / mantissaSize)
    return sign * 2 ** (exponent - bias) * (1 + mantissa / mantissaSize)
  })
}

function once<T>(make: () => T): () => T {
  let made: T | undefined
  return () => {
    made ??= make()
    return made
  }
}
