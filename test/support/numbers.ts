import { integers } from '../../bench/random.js'

export { gaussian, integers, studentT4 } from '../../bench/random.js'

/** Finite f32 values over the whole range of exponents. */
export function randomBits(length: number, seed: number): Float32Array {
  const next = integers(seed)
  const bits = Uint32Array.from({ length }, () => {
    const word = next()
    return (word & 0x7f800000) === 0x7f800000 ? (word & 0x807fffff) >>> 0 : word
  })
  return new Float32Array(bits.buffer)
}

export function randomBytes(length: number, seed: number): Uint8Array {
  const next = integers(seed)
  return Uint8Array.from({ length }, () => next() >>> 24)
}

/** Whether two arrays hold the same bytes; unlike `===` on their values it tells -0 from 0 and one NaN from another. */
export function sameBits(a: ArrayBufferView, b: ArrayBufferView): boolean {
  return Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength))
}
