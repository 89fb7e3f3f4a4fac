// What the decoders share: codes of one byte in, values out.
import { halfToFloat } from './half'

/** The half at an address, as an f32. */
// @ts-ignore: decorator
@inline
export function loadHalf(at: usize): f32 {
  return halfToFloat(load<u16>(at))
}

/** Writes code * scale for 16 signed codes. */
// @ts-ignore: decorator
@inline
export function storeScaled(target: usize, codes: v128, scale: v128): void {
  const low = i16x8.extend_low_i8x16_s(codes)
  const high = i16x8.extend_high_i8x16_s(codes)
  v128.store(target, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(low)), scale), 0)
  v128.store(target, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(low)), scale), 16)
  v128.store(target, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(high)), scale), 32)
  v128.store(target, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(high)), scale), 48)
}

/** Writes code * scale + offset for 16 signed codes. */
// @ts-ignore: decorator
@inline
export function storeAffine(target: usize, codes: v128, scale: v128, offset: v128): void {
  storeScaled(target, codes, scale)
  for (let i: usize = 0; i < 64; i += 16) v128.store(target + i, f32x4.add(v128.load(target + i), offset))
}

/** The low and the high four bits of 16 bytes. */
// @ts-ignore: decorator
@inline
export function lowNibbles(bytes: v128): v128 {
  return v128.and(bytes, i8x16.splat(15))
}
// @ts-ignore: decorator
@inline
export function highNibbles(bytes: v128): v128 {
  return i8x16.shr_u(bytes, 4)
}

/** A byte of all ones for each of 16 bits that is set. */
// @ts-ignore: decorator
@inline
export function expandBits(bits: u32): v128 {
  const bytes = i8x16.swizzle(i32x4.splat(bits), i8x16(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1))
  const mask = i8x16(1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128)
  return i8x16.eq(v128.and(bytes, mask), mask)
}
