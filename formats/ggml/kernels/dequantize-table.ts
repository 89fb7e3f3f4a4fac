// Types whose four-bit codes stand for the sixteen values of a table.
//   IQ4_NL 32 in 18: half d, qs[16]                       value j = d * table[low_j], value j + 16 = d * table[high_j]
//   IQ4_XS 256 in 136: half d, u16 scales_h, scales_l[4], qs[128]  eight sub-blocks as above, each with a 6-bit scale less 32
//   MXFP4  32 in 17: E8M0 scale, qs[16]                   the E2M1 values doubled, times half the scale
//   NVFP4  64 in 36: UE4M3 scales[4], qs[32]              four sub-blocks of 16: value j = low_j, value j + 8 = high_j
import { highNibbles, loadHalf, lowNibbles, storeScaled } from './spread'

// @ts-ignore: decorator
@inline
function nonLinear(codes: v128): v128 {
  return i8x16.swizzle(i8x16(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113), codes)
}

// @ts-ignore: decorator
@inline
function doubledE2m1(codes: v128): v128 {
  return i8x16.swizzle(i8x16(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12), codes)
}

/** Dequantizes blocks of IQ4_NL to f32. @param elements values: a multiple of the block size. */
export function dequantize_iq4_nl(source: usize, target: usize, elements: i32): void {
  for (let block = elements >> 5; block > 0; block--) {
    const scale = f32x4.splat(loadHalf(source))
    const bytes = v128.load(source + 2)
    storeScaled(target, nonLinear(lowNibbles(bytes)), scale)
    storeScaled(target + 64, nonLinear(highNibbles(bytes)), scale)
    source += 18
    target += 128
  }
}

/** Dequantizes blocks of IQ4_XS to f32. @param elements values: a multiple of the block size. */
export function dequantize_iq4_xs(source: usize, target: usize, elements: i32): void {
  for (let block = elements >> 8; block > 0; block--) {
    const scale = loadHalf(source)
    const upper = <u32>load<u16>(source + 2)
    const lower = load<u32>(source + 4)
    for (let part = 0; part < 8; part++) {
      const code = ((lower >> (4 * part)) & 15) | (((upper >> (2 * part)) & 3) << 4)
      const partScale = f32x4.splat(scale * <f32>(<i32>code - 32))
      const bytes = v128.load(source + 8 + 16 * <usize>part)
      storeScaled(target, nonLinear(lowNibbles(bytes)), partScale)
      storeScaled(target + 64, nonLinear(highNibbles(bytes)), partScale)
      target += 128
    }
    source += 136
  }
}

/** Dequantizes blocks of MXFP4 to f32. @param elements values: a multiple of the block size. */
export function dequantize_mxfp4(source: usize, target: usize, elements: i32): void {
  for (let block = elements >> 5; block > 0; block--) {
    const exponent = <u32>load<u8>(source)
    // 2^(exponent - 128); the two least are subnormal.
    const bits = exponent < 2 ? 0x00200000 << exponent : (exponent - 1) << 23
    const scale = f32x4.splat(reinterpret<f32>(bits))
    const bytes = v128.load(source + 1)
    storeScaled(target, doubledE2m1(lowNibbles(bytes)), scale)
    storeScaled(target + 64, doubledE2m1(highNibbles(bytes)), scale)
    source += 17
    target += 128
  }
}

/** Dequantizes blocks of NVFP4 to f32. @param elements values: a multiple of the block size. */
export function dequantize_nvfp4(source: usize, target: usize, elements: i32): void {
  for (let block = elements >> 6; block > 0; block--) {
    for (let part: usize = 0; part < 4; part++) {
      const scale = f32x4.splat(halfOfUe4m3(load<u8>(source + part)))
      const bytes = v128.load64_splat(source + 4 + 8 * part)
      const codes = i8x16.shuffle(lowNibbles(bytes), highNibbles(bytes), 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
      storeScaled(target, doubledE2m1(codes), scale)
      target += 64
    }
    source += 36
  }
}

/** Half the value of an unsigned E4M3 number (bias 7); 0x7f, its NaN, is zero, and the top bit is not looked at otherwise. */
function halfOfUe4m3(bits: u32): f32 {
  if (bits == 0x7f) return 0
  const exponent = (bits >> 3) & 15
  const fraction = bits & 7
  if (exponent == 0) return <f32>fraction * reinterpret<f32>((127 - 10) << 23)
  return reinterpret<f32>(((exponent + 127 - 8) << 23) | (fraction << 20))
}
