// Encoders of TQ1_0, TQ2_0, Q2_0 (d = max|x|, codes -1, 0, 1) and Q1_0 (d = mean|x|, signs). They give ggml's bytes: a matrix that is
// ternary already, as those of BitNet models, is stored without loss. dequantize-plain.ts describes the layouts.
import { floatToHalf } from './half'
import { codes } from './lanes'
import { greatest, inverseOf, roundSixteen } from './round'

/** Codes 0, 1, 2 of 16 values. */
// @ts-ignore: decorator
@inline
function sixteenTrits(source: usize, factor: v128): v128 {
  return i8x16.add(roundSixteen(source, factor), i8x16.splat(1))
}

/** Quantizes rows of f32 to blocks of TQ2_0. @param importance an f32 for each column, or 0 for none. */
export function quantize_tq2_0(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  for (let block = (rows * rowLength) >> 8; block > 0; block--) {
    const scale = greatest(source, 256)
    const factor = f32x4.splat(inverseOf(scale))
    for (let part: usize = 0; part < 4; part++) {
      // Sixteen bytes hold values that lie 32 apart: parts 0, 1 of the first 128 values, 2, 3 of the last.
      const from = source + 512 * (part >> 1) + 64 * (part & 1)
      let packed = i8x16.splat(0)
      for (let i: usize = 0; i < 4; i++) {
        packed = v128.or(packed, i8x16.shl(sixteenTrits(from + 128 * i, factor), 2 * <i32>i))
      }
      v128.store(target + 16 * part, packed)
    }
    store<u16>(target, <u16>floatToHalf(scale), 64)
    source += 1024
    target += 66
  }
}

/** Quantizes rows of f32 to blocks of TQ1_0. @param importance an f32 for each column, or 0 for none. */
export function quantize_tq1_0(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  for (let block = (rows * rowLength) >> 8; block > 0; block--) {
    const scale = greatest(source, 256)
    const factor = f32x4.splat(inverseOf(scale))
    for (let i: usize = 0; i < 256; i += 16) v128.store(codes + i, sixteenTrits(source + 4 * i, factor))
    for (let i: usize = 0; i < 32; i++) store<u8>(target + i, fiveTrits(codes + i, 32, 5))
    for (let i: usize = 0; i < 16; i++) store<u8>(target + i, fiveTrits(codes + 160 + i, 16, 5), 32)
    for (let i: usize = 0; i < 4; i++) store<u8>(target + i, fiveTrits(codes + 240 + i, 4, 4), 48)
    store<u16>(target, <u16>floatToHalf(scale), 52)
    source += 1024
    target += 54
  }
}

/** Up to five trits, the first the most significant, as a fraction of 3^5 in a byte, rounded up. */
// @ts-ignore: decorator
@inline
function fiveTrits(at: usize, apart: usize, count: usize): u32 {
  let number: u32 = 0
  for (let i: usize = 0; i < 5; i++) number = 3 * number + (i < count ? <u32>load<u8>(at + apart * i) : 0)
  return (256 * number + 242) / 243
}

/** Quantizes rows of f32 to blocks of Q2_0. @param importance an f32 for each column, or 0 for none. */
export function quantize_q2_0(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  for (let block = (rows * rowLength) >> 6; block > 0; block--) {
    const scale = greatest(source, 64)
    const factor = f32x4.splat(inverseOf(scale))
    store<u16>(target, <u16>floatToHalf(scale))
    for (let i: usize = 0; i < 64; i += 16) v128.store(codes + i, sixteenTrits(source + 4 * i, factor))
    for (let i: usize = 0; i < 16; i++) {
      const four = load<u32>(codes + 4 * i)
      store<u8>(target + i, four | (four >> 6) | (four >> 12) | (four >> 18), 2)
    }
    source += 256
    target += 18
  }
}

/** Quantizes rows of f32 to blocks of Q1_0. @param importance an f32 for each column, or 0 for none. */
export function quantize_q1_0(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  for (let block = (rows * rowLength) >> 7; block > 0; block--) {
    // In this order, because ggml sums so.
    let sum: f32 = 0
    for (let i: usize = 0; i < 512; i += 4) sum += abs(load<f32>(source + i))
    store<u16>(target, <u16>floatToHalf(sum / 128))
    for (let i: usize = 0; i < 16; i++) {
      const low = i32x4.bitmask(f32x4.ge(v128.load(source + 32 * i, 0), f32x4.splat(0)))
      const high = i32x4.bitmask(f32x4.ge(v128.load(source + 32 * i, 16), f32x4.splat(0)))
      store<u8>(target + i, low | (high << 4), 2)
    }
    source += 512
    target += 18
  }
}
