// The codebook types: a group of eight (IQ3: four) values is a point of a codebook times a scale; super-blocks of 256 with a half d.
// Signs of IQ2 and IQ3: a set bit j makes value j of its eight negative; where seven bits are kept, the eighth makes their number even.
//   IQ2_XXS  66: d, 8 x { u8 points[4], u32: 4 x 7 signs, 4 bits s }     d * (s + 1/2) / 4
//   IQ2_XS   74: d, u16 points[32] (9 bits point, 7 signs), scales[8]    a nibble for 16 values: d * (s + 1/2) / 4
//   IQ2_S    82: d, points[32], signs[32], qh[8], scales[8]              ten bits a point, two of them in qh
//   IQ3_XXS  98: d, points[64], 8 x u32 { 4 x 7 signs, 4 bits s }        d * (s + 1/2) / 2
//   IQ3_S   110: d, points[64], qh[8], signs[32], scales[4]              nine bits a point; a nibble for 32 values: d * (2 s + 1)
//   IQ1_S    50: d, points[32], u16 qh[8]: 4 x 3 bits point, 3 bits s, sign of delta   d * (2 s + 1) * (value +- 1/8)
//   IQ1_M    56: points[32], qh[16] (3 bits point, sign of delta), u16 scales[4]: 4 x 3 bits s for 16 values, 4 bits of the half d
import { pointsOfIq1, pointsOfIq2S, pointsOfIq2Xs, pointsOfIq2Xxs, pointsOfIq3S, pointsOfIq3Xxs } from './codebooks'
import { halfToFloat } from './half'
import { loadHalf } from './spread'

/** The eight levels of a point, in lanes of 16 bits. */
// @ts-ignore: decorator
@inline
function levelsOfEight(points: usize, index: u32): v128 {
  const packed = i16x8.splat(load<u16>(points + 2 * <usize>index))
  return i16x8.shr_u(i16x8.mul(packed, i16x8(16384, 4096, 1024, 256, 64, 16, 4, 1)), 14)
}

/** The four levels of a point, in lanes of 32 bits. */
// @ts-ignore: decorator
@inline
function levelsOfFour(points: usize, index: u32): v128 {
  const packed = i32x4.splat(load<u16>(points + 2 * <usize>index))
  return v128.and(i32x4.shr_u(i32x4.mul(packed, i32x4(512, 64, 8, 1)), 9), i32x4.splat(7))
}

/** All eight signs from the seven that are kept. */
// @ts-ignore: decorator
@inline
function eightSigns(seven: u32): u32 {
  return seven | ((popcnt(seven) & 1) << 7)
}

/** The first four of these bits as the sign bits of four f32. */
// @ts-ignore: decorator
@inline
function fourSigns(bits: u32): v128 {
  return v128.and(i32x4.mul(i32x4.splat(bits), i32x4(1 << 31, 1 << 30, 1 << 29, 1 << 28)), i32x4.splat(1 << 31))
}

/** Writes eight values of IQ2: 8, 25 or 43 times the scale. */
// @ts-ignore: decorator
@inline
function storeIq2(target: usize, levels: v128, signs: u32, scale: f32): void {
  const values = i16x8.add(i16x8.add(i16x8.mul(levels, i16x8.splat(17)), i16x8.shr_u(levels, 1)), i16x8.splat(8))
  const low = f32x4.mul(f32x4.splat(scale), f32x4.convert_i32x4_u(i32x4.extend_low_i16x8_u(values)))
  const high = f32x4.mul(f32x4.splat(scale), f32x4.convert_i32x4_u(i32x4.extend_high_i16x8_u(values)))
  v128.store(target, v128.xor(low, fourSigns(signs)), 0)
  v128.store(target, v128.xor(high, fourSigns(signs >> 4)), 16)
}

/** Dequantizes blocks of IQ2_XXS to f32. @param elements values: a multiple of the block size. */
export function dequantize_iq2_xxs(source: usize, target: usize, elements: i32): void {
  for (let block = elements >> 8; block > 0; block--) {
    const d = loadHalf(source)
    source += 2
    for (let part = 0; part < 8; part++) {
      const rest = load<u32>(source + 4)
      const scale: f32 = d * (0.5 + <f32>(rest >> 28)) * 0.25
      for (let group = 0; group < 4; group++) {
        const signs = eightSigns((rest >> (7 * group)) & 127)
        storeIq2(target, levelsOfEight(pointsOfIq2Xxs, load<u8>(source + group)), signs, scale)
        target += 32
      }
      source += 8
    }
  }
}

/** Dequantizes blocks of IQ2_XS to f32. @param elements values: a multiple of the block size. */
export function dequantize_iq2_xs(source: usize, target: usize, elements: i32): void {
  for (let block = elements >> 8; block > 0; block--) {
    const d = loadHalf(source)
    for (let group = 0; group < 32; group++) {
      const code = (<u32>load<u8>(source + 66 + (group >> 2)) >> ((group & 2) << 1)) & 15
      const scale: f32 = d * (0.5 + <f32>code) * 0.25
      const word = <u32>load<u16>(source + 2 + 2 * <usize>group)
      storeIq2(target, levelsOfEight(pointsOfIq2Xs, word & 511), eightSigns(word >> 9), scale)
      target += 32
    }
    source += 74
  }
}

/** Dequantizes blocks of IQ2_S to f32. @param elements values: a multiple of the block size. */
export function dequantize_iq2_s(source: usize, target: usize, elements: i32): void {
  for (let block = elements >> 8; block > 0; block--) {
    const d = loadHalf(source)
    for (let group = 0; group < 32; group++) {
      const part = group >> 2
      const code = (<u32>load<u8>(source + 74 + part) >> ((group & 2) << 1)) & 15
      const scale: f32 = d * (0.5 + <f32>code) * 0.25
      const upper = (<u32>load<u8>(source + 66 + part) >> ((group & 3) << 1)) & 3
      const index = <u32>load<u8>(source + 2 + group) | (upper << 8)
      storeIq2(target, levelsOfEight(pointsOfIq2S, index), load<u8>(source + 34 + group), scale)
      target += 32
    }
    source += 82
  }
}

/** Writes four values with their signs. */
// @ts-ignore: decorator
@inline
function storeIq3(target: usize, values: v128, signs: u32, scale: f32): void {
  const magnitudes = f32x4.mul(f32x4.splat(scale), f32x4.convert_i32x4_u(values))
  v128.store(target, v128.xor(magnitudes, fourSigns(signs)))
}

/** 4, 12, .. 52 and then 62. */
// @ts-ignore: decorator
@inline
function valuesOfIq3Xxs(levels: v128): v128 {
  const last = i32x4.shl(i32x4.shr_u(i32x4.add(levels, i32x4.splat(1)), 3), 1)
  return i32x4.add(i32x4.add(i32x4.shl(levels, 3), i32x4.splat(4)), last)
}

/** Dequantizes blocks of IQ3_XXS to f32. @param elements values: a multiple of the block size. */
export function dequantize_iq3_xxs(source: usize, target: usize, elements: i32): void {
  for (let block = elements >> 8; block > 0; block--) {
    const d = loadHalf(source)
    for (let part: usize = 0; part < 8; part++) {
      const rest = load<u32>(source + 66 + 4 * part)
      const scale: f32 = d * (0.5 + <f32>(rest >> 28)) * 0.5
      for (let group: usize = 0; group < 4; group++) {
        const signs = eightSigns((rest >> (7 * <u32>group)) & 127)
        const index = source + 2 + 8 * part + 2 * group
        storeIq3(target, valuesOfIq3Xxs(levelsOfFour(pointsOfIq3Xxs, load<u8>(index))), signs, scale)
        storeIq3(target + 16, valuesOfIq3Xxs(levelsOfFour(pointsOfIq3Xxs, load<u8>(index + 1))), signs >> 4, scale)
        target += 32
      }
    }
    source += 98
  }
}

/** Dequantizes blocks of IQ3_S to f32. @param elements values: a multiple of the block size. */
export function dequantize_iq3_s(source: usize, target: usize, elements: i32): void {
  for (let block = elements >> 8; block > 0; block--) {
    const d = loadHalf(source)
    for (let group = 0; group < 64; group++) {
      const code = (<u32>load<u8>(source + 106 + (group >> 4)) >> ((group >> 1) & 4)) & 15
      const scale: f32 = d * <f32>((code << 1) | 1)
      const upper = (<u32>load<u8>(source + 66 + (group >> 3)) >> (group & 7)) & 1
      const levels = levelsOfFour(pointsOfIq3S, <u32>load<u8>(source + 2 + group) | (upper << 8))
      const signs = <u32>load<u8>(source + 74 + (group >> 1)) >> ((group & 1) << 2)
      storeIq3(target, i32x4.add(i32x4.shl(levels, 1), i32x4.splat(1)), signs, scale)
      target += 16
    }
    source += 110
  }
}

/** Writes eight values of IQ1: (level - 1 + delta) times the scale. */
// @ts-ignore: decorator
@inline
function storeIq1(target: usize, index: u32, isBelow: u32, scale: f32): void {
  const values = i16x8.sub(levelsOfEight(pointsOfIq1, index), i16x8.splat(1))
  const delta = f32x4.splat(isBelow ? -0.125 : 0.125)
  const low = f32x4.add(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(values)), delta)
  const high = f32x4.add(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(values)), delta)
  v128.store(target, f32x4.mul(f32x4.splat(scale), low), 0)
  v128.store(target, f32x4.mul(f32x4.splat(scale), high), 16)
}

/** Dequantizes blocks of IQ1_S to f32. @param elements values: a multiple of the block size. */
export function dequantize_iq1_s(source: usize, target: usize, elements: i32): void {
  for (let block = elements >> 8; block > 0; block--) {
    const d = loadHalf(source)
    for (let group = 0; group < 32; group++) {
      const rest = <u32>load<u16>(source + 34 + 2 * <usize>(group >> 2))
      const scale: f32 = d * <f32>(((rest >> 11) & 14) | 1)
      const index = <u32>load<u8>(source + 2 + group) | (((rest >> (3 * (group & 3))) & 7) << 8)
      storeIq1(target, index, rest & 0x8000, scale)
      target += 32
    }
    source += 50
  }
}

/** Dequantizes blocks of IQ1_M to f32. @param elements values: a multiple of the block size. */
export function dequantize_iq1_m(source: usize, target: usize, elements: i32): void {
  for (let block = elements >> 8; block > 0; block--) {
    // The half is spread over the top four bits of the four words of scales.
    const words = load<u64>(source + 48)
    const half =
      ((words >> 12) & 15) | (((words >> 28) & 15) << 4) | (((words >> 44) & 15) << 8) | (((words >> 60) & 15) << 12)
    const d = halfToFloat(<u32>half)
    for (let group = 0; group < 32; group++) {
      // Eight groups to a word of scales, two to a scale.
      const code = <u32>(words >> <u64>(16 * (group >> 3) + 3 * ((group >> 1) & 3))) & 7
      const scale: f32 = d * <f32>((code << 1) | 1)
      const rest = <u32>load<u8>(source + 32 + (group >> 1)) >> ((group & 1) << 2)
      storeIq1(target, <u32>load<u8>(source + group) | ((rest & 7) << 8), rest & 8, scale)
      target += 32
    }
    source += 56
  }
}
