// Types of one scale a block, with or without an offset; d and m are halves, `low` and `high` the nibbles of a byte.
//   Q4_0  32 in 18: d, qs[16]                  value j = d * (low_j - 8), value j + 16 = d * (high_j - 8)
//   Q4_1  32 in 20: d, m, qs[16]               d * q + m
//   Q5_0  32 in 22: d, u32 qh, qs[16]          bit j of qh is the fifth of value j: d * (q - 16)
//   Q5_1  32 in 24: d, m, u32 qh, qs[16]       d * q + m
//   Q1_0  128 in 18: d, bits[16]               d where the bit is set, -d where not
//   Q2_0  64 in 18: d, qs[16]                  four values a byte, lowest bits first: d * (q - 1)
//   TQ1_0 256 in 54: qs[48], qh[4], d          five ternary digits a byte, as the fixed-point fraction of 3^5: d * (digit - 1)
//   TQ2_0 256 in 66: qs[64], d                 value j + 32 k of a half has bits 2k of byte j: d * (q - 1)
import { expandBits, highNibbles, loadHalf, lowNibbles, storeAffine, storeScaled } from './spread'

/** Dequantizes blocks of Q4_0 to f32. @param elements values: a multiple of the block size. */
export function dequantize_q4_0(source: usize, target: usize, elements: i32): void {
  for (let block = elements >> 5; block > 0; block--) {
    const scale = f32x4.splat(loadHalf(source))
    const bytes = v128.load(source + 2)
    const middle = i8x16.splat(8)
    storeScaled(target, i8x16.sub(lowNibbles(bytes), middle), scale)
    storeScaled(target + 64, i8x16.sub(highNibbles(bytes), middle), scale)
    source += 18
    target += 128
  }
}

/** Dequantizes blocks of Q4_1 to f32. @param elements values: a multiple of the block size. */
export function dequantize_q4_1(source: usize, target: usize, elements: i32): void {
  for (let block = elements >> 5; block > 0; block--) {
    const scale = f32x4.splat(loadHalf(source))
    const offset = f32x4.splat(loadHalf(source + 2))
    const bytes = v128.load(source + 4)
    storeAffine(target, lowNibbles(bytes), scale, offset)
    storeAffine(target + 64, highNibbles(bytes), scale, offset)
    source += 20
    target += 128
  }
}

/** Dequantizes blocks of Q5_0 to f32. @param elements values: a multiple of the block size. */
export function dequantize_q5_0(source: usize, target: usize, elements: i32): void {
  for (let block = elements >> 5; block > 0; block--) {
    const scale = f32x4.splat(loadHalf(source))
    const bits = load<u32>(source + 2)
    const bytes = v128.load(source + 6)
    const middle = i8x16.splat(16)
    // A set bit adds 16, which the middle takes away again.
    storeScaled(target, i8x16.sub(lowNibbles(bytes), v128.andnot(middle, expandBits(bits))), scale)
    storeScaled(target + 64, i8x16.sub(highNibbles(bytes), v128.andnot(middle, expandBits(bits >> 16))), scale)
    source += 22
    target += 128
  }
}

/** Dequantizes blocks of Q5_1 to f32. @param elements values: a multiple of the block size. */
export function dequantize_q5_1(source: usize, target: usize, elements: i32): void {
  for (let block = elements >> 5; block > 0; block--) {
    const scale = f32x4.splat(loadHalf(source))
    const offset = f32x4.splat(loadHalf(source + 2))
    const bits = load<u32>(source + 4)
    const bytes = v128.load(source + 8)
    const fifth = i8x16.splat(16)
    storeAffine(target, v128.or(lowNibbles(bytes), v128.and(fifth, expandBits(bits))), scale, offset)
    storeAffine(target + 64, v128.or(highNibbles(bytes), v128.and(fifth, expandBits(bits >> 16))), scale, offset)
    source += 24
    target += 128
  }
}

/** Dequantizes blocks of Q1_0 to f32. @param elements values: a multiple of the block size. */
export function dequantize_q1_0(source: usize, target: usize, elements: i32): void {
  for (let block = elements >> 7; block > 0; block--) {
    const scale = f32x4.splat(loadHalf(source))
    for (let i: usize = 2; i < 18; i += 2) {
      // 2 where the bit is set, minus 1.
      const set = v128.and(expandBits(load<u16>(source + i)), i8x16.splat(2))
      storeScaled(target, i8x16.sub(set, i8x16.splat(1)), scale)
      target += 64
    }
    source += 18
  }
}

/** Dequantizes blocks of Q2_0 to f32. @param elements values: a multiple of the block size. */
export function dequantize_q2_0(source: usize, target: usize, elements: i32): void {
  for (let block = elements >> 6; block > 0; block--) {
    const scale = f32x4.splat(loadHalf(source))
    for (let i: usize = 2; i < 18; i += 4) {
      const bytes = v128.load32_zero(source + i)
      const low = twoBitCodes(i8x16.swizzle(bytes, i8x16(0, 16, 0, 16, 0, 16, 0, 16, 1, 16, 1, 16, 1, 16, 1, 16)))
      const high = twoBitCodes(i8x16.swizzle(bytes, i8x16(2, 16, 2, 16, 2, 16, 2, 16, 3, 16, 3, 16, 3, 16, 3, 16)))
      storeScaled(target, i8x16.sub(i8x16.narrow_i16x8_s(low, high), i8x16.splat(1)), scale)
      target += 64
    }
    source += 18
  }
}

/** Dequantizes blocks of TQ1_0 to f32. @param elements values: a multiple of the block size. */
export function dequantize_tq1_0(source: usize, target: usize, elements: i32): void {
  for (let block = elements >> 8; block > 0; block--) {
    const scale = f32x4.splat(loadHalf(source + 52))
    for (let digit: usize = 0, power: u32 = 1; digit < 5; digit++, power *= 3) {
      const powers = i16x8.splat(<i16>power)
      storeScaled(target + 128 * digit, ternary(v128.load(source), powers, powers), scale)
      storeScaled(target + 128 * digit + 64, ternary(v128.load(source + 16), powers, powers), scale)
      storeScaled(target + 640 + 64 * digit, ternary(v128.load(source + 32), powers, powers), scale)
    }
    const last = v128.load32_splat(source + 48)
    storeScaled(target + 960, ternary(last, i16x8(1, 1, 1, 1, 3, 3, 3, 3), i16x8(9, 9, 9, 9, 27, 27, 27, 27)), scale)
    source += 54
    target += 1024
  }
}

/** Dequantizes blocks of TQ2_0 to f32. @param elements values: a multiple of the block size. */
export function dequantize_tq2_0(source: usize, target: usize, elements: i32): void {
  for (let block = elements >> 8; block > 0; block--) {
    const scale = f32x4.splat(loadHalf(source + 64))
    for (let half: usize = 0; half < 64; half += 32) {
      for (let shift = 0; shift < 8; shift += 2) {
        for (let i: usize = 0; i < 32; i += 16) {
          const codes = v128.and(i8x16.shr_u(v128.load(source + half + i), shift), i8x16.splat(3))
          storeScaled(target, i8x16.sub(codes, i8x16.splat(1)), scale)
          target += 64
        }
      }
    }
    source += 66
  }
}

/** Lane i holds a byte; its bits 2 (i mod 4) and the next. */
// @ts-ignore: decorator
@inline
function twoBitCodes(bytes: v128): v128 {
  const moved = i16x8.shr_u(i16x8.mul(bytes, i16x8(64, 16, 4, 1, 64, 16, 4, 1)), 6)
  return v128.and(moved, i16x8.splat(3))
}

/** The digit less 1 that stands first in the fraction byte / 256, after multiplying it by a power of three. */
// @ts-ignore: decorator
@inline
function ternary(bytes: v128, powersLow: v128, powersHigh: v128): v128 {
  const low = firstDigit(i16x8.mul(i16x8.extend_low_i8x16_u(bytes), powersLow))
  const high = firstDigit(i16x8.mul(i16x8.extend_high_i8x16_u(bytes), powersHigh))
  return i8x16.sub(i8x16.narrow_i16x8_s(low, high), i8x16.splat(1))
}

// @ts-ignore: decorator
@inline
function firstDigit(fraction: v128): v128 {
  return i16x8.shr_u(i16x8.mul(v128.and(fraction, i16x8.splat(255)), i16x8.splat(3)), 8)
}
