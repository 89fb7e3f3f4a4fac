// The K types: super-blocks of 256, whose parts have small integer scales times halves of the super-block.
//   Q2_K  84: scales[16] (low nibble scale, high nibble minimum), qs[64], half d, half dmin     16 parts of 16
//   Q3_K 110: hmask[32], qs[64], scales[12] (6 bits each, less 32), half d                       16 parts of 16
//   Q4_K 144: half d, half dmin, scales[12] (6 bits scale, 6 bits minimum), qs[128]               8 parts of 32
//   Q5_K 176: half d, half dmin, scales[12], qh[32], qs[128]                                      8 parts of 32
//   Q6_K 210: ql[128], qh[64], i8 scales[16], half d                                             16 parts of 16
import { highNibbles, loadHalf, lowNibbles, storeAffine, storeScaled } from './spread'

// @ts-ignore: decorator
@inline
function twoBits(bytes: v128, shift: i32): v128 {
  return v128.and(i8x16.shr_u(bytes, shift), i8x16.splat(3))
}

/** Dequantizes blocks of Q2_K to f32. @param elements values: a multiple of the block size. */
export function dequantize_q2_k(source: usize, target: usize, elements: i32): void {
  for (let block = elements >> 8; block > 0; block--) {
    const scale = loadHalf(source + 80)
    const minimum = loadHalf(source + 82)
    for (let part = 0; part < 16; part++) {
      // Parts 0 to 7 share 32 bytes of codes, two bits each; parts 8 to 15 the other 32.
      const bytes = v128.load(source + 16 + 32 * <usize>(part >> 3) + 16 * <usize>(part & 1))
      const both = <u32>load<u8>(source + part)
      const partScale = f32x4.splat(scale * <f32>(both & 15))
      const offset = f32x4.splat(-(minimum * <f32>(both >> 4)))
      storeAffine(target, twoBits(bytes, part & 6), partScale, offset)
      target += 64
    }
    source += 84
  }
}

/** Dequantizes blocks of Q3_K to f32. @param elements values: a multiple of the block size. */
export function dequantize_q3_k(source: usize, target: usize, elements: i32): void {
  for (let block = elements >> 8; block > 0; block--) {
    const scale = loadHalf(source + 108)
    const upper = load<u32>(source + 104)
    for (let part = 0; part < 16; part++) {
      const bytes = v128.load(source + 32 + 32 * <usize>(part >> 3) + 16 * <usize>(part & 1))
      const masks = v128.load(source + 16 * <usize>(part & 1))
      // Low four bits: nibble part / 8 of byte part mod 8. High two: byte part mod 4 of `upper`, pair part / 4.
      const low = (<u32>load<u8>(source + 96 + (part & 7)) >> ((part >> 3) << 2)) & 15
      const high = (upper >> (((part & 3) << 3) + ((part >> 2) << 1))) & 3
      const partScale = f32x4.splat(scale * <f32>(<i32>(low | (high << 4)) - 32))
      // A clear bit of the mask takes 4 away.
      const bit = v128.and(i8x16.shr_u(masks, part >> 1), i8x16.splat(1))
      const lacking = i8x16.shl(v128.xor(bit, i8x16.splat(1)), 2)
      storeScaled(target, i8x16.sub(twoBits(bytes, part & 6), lacking), partScale)
      target += 64
    }
    source += 110
  }
}

/** The 6-bit scale of part 0 to 7 in the twelve bytes that Q4_K and Q5_K share. */
// @ts-ignore: decorator
@inline
function partScaleOf(bytes: usize, part: i32): u32 {
  if (part < 4) return <u32>load<u8>(bytes + part) & 63
  return (<u32>load<u8>(bytes + part + 4) & 15) | ((<u32>load<u8>(bytes + part - 4) >> 6) << 4)
}

/** The 6-bit minimum of part 0 to 7. */
// @ts-ignore: decorator
@inline
function partMinimumOf(bytes: usize, part: i32): u32 {
  if (part < 4) return <u32>load<u8>(bytes + part + 4) & 63
  return (<u32>load<u8>(bytes + part + 4) >> 4) | ((<u32>load<u8>(bytes + part) >> 6) << 4)
}

/** Dequantizes blocks of Q4_K to f32. @param elements values: a multiple of the block size. */
export function dequantize_q4_k(source: usize, target: usize, elements: i32): void {
  for (let block = elements >> 8; block > 0; block--) {
    const scale = loadHalf(source)
    const minimum = loadHalf(source + 2)
    for (let part = 0; part < 8; part++) {
      const partScale = f32x4.splat(scale * <f32>partScaleOf(source + 4, part))
      const offset = f32x4.splat(-(minimum * <f32>partMinimumOf(source + 4, part)))
      const codes = source + 16 + 32 * <usize>(part >> 1)
      const shift = (part & 1) << 2
      storeAffine(target, lowNibbles(i8x16.shr_u(v128.load(codes), shift)), partScale, offset)
      storeAffine(target + 64, lowNibbles(i8x16.shr_u(v128.load(codes + 16), shift)), partScale, offset)
      target += 128
    }
    source += 144
  }
}

/** Dequantizes blocks of Q5_K to f32. @param elements values: a multiple of the block size. */
export function dequantize_q5_k(source: usize, target: usize, elements: i32): void {
  for (let block = elements >> 8; block > 0; block--) {
    const scale = loadHalf(source)
    const minimum = loadHalf(source + 2)
    for (let part = 0; part < 8; part++) {
      const partScale = f32x4.splat(scale * <f32>partScaleOf(source + 4, part))
      const offset = f32x4.splat(-(minimum * <f32>partMinimumOf(source + 4, part)))
      for (let i: usize = 0; i < 32; i += 16) {
        const low = lowNibbles(i8x16.shr_u(v128.load(source + 48 + 32 * <usize>(part >> 1) + i), (part & 1) << 2))
        const fifth = v128.and(i8x16.shr_u(v128.load(source + 16 + i), part), i8x16.splat(1))
        storeAffine(target, v128.or(low, i8x16.shl(fifth, 4)), partScale, offset)
        target += 64
      }
    }
    source += 176
  }
}

/** Dequantizes blocks of Q6_K to f32. @param elements values: a multiple of the block size. */
export function dequantize_q6_k(source: usize, target: usize, elements: i32): void {
  for (let block = elements >> 8; block > 0; block--) {
    const scale = loadHalf(source + 208)
    for (let part = 0; part < 16; part++) {
      const half = <usize>(part >> 3)
      const side = <usize>(part & 1)
      // Quarters of a half of 128: low nibbles of 64 bytes, then their high nibbles; two more bits from 32 bytes.
      const quarter = (part >> 1) & 3
      const nibbles = v128.load(source + 64 * half + 32 * <usize>(quarter & 1) + 16 * side)
      const low = quarter < 2 ? lowNibbles(nibbles) : highNibbles(nibbles)
      const high = twoBits(v128.load(source + 128 + 32 * half + 16 * side), quarter << 1)
      const codes = i8x16.sub(v128.or(low, i8x16.shl(high, 4)), i8x16.splat(32))
      storeScaled(target, codes, f32x4.splat(scale * <f32>load<i8>(source + 192 + part)))
      target += 64
    }
    source += 210
  }
}
