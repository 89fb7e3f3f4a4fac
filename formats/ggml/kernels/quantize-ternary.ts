// Encoders of TQ1_0, TQ2_0, Q2_0 (codes times d) and Q1_0 (signs times d). ggml takes d = max|x| and codes -1, 0, 1, or d = mean|x|. Here d has
// the least weighted error, and Q2_0 uses its fourth code, 2. A matrix that is ternary already, as those of BitNet models, is stored without
// loss, in ggml's bytes. dequantize-plain.ts describes the layouts.
import { floatToHalf } from './half'
import { add, clamp, codes, mul, nearest, splat, total } from './lanes'
import { greatest, inverseOf, roundSixteen } from './round'

/** Codes 0, 1, 2 of 16 values, or 0 to 3 where there are four. */
// @ts-ignore: decorator
@inline
function sixteenTrits(source: usize, factor: v128, most: i8): v128 {
  const rounded = roundSixteen(source, factor)
  return i8x16.add(i8x16.max_s(i8x16.min_s(rounded, i8x16.splat(most)), i8x16.splat(-1)), i8x16.splat(1))
}

/** Scales that are tried: the largest value over 1, 1.25 ... 3.5. */
const trials = 11
/** So much better has another scale to be than the largest value, by which a ternary matrix is exact. */
const margin: f32 = 1.00001

/**
 * The scale of a block of the least error, weighted where there is importance; negative where the codes -1 to `most` fit the values turned
 * round better.
 */
function scaleOf(source: usize, count: usize, importance: usize, most: f32): f32 {
  const top = greatest(source, count)
  const unit = inverseOf(top)
  if (unit == 0) return top
  let best: f32 = 0
  let scale: f32 = 1
  for (let sign: f32 = 1; sign >= -1; sign -= 2) {
    if (sign < 0 && most == 1) break
    for (let trial = 0; trial < trials; trial++) {
      const factor = splat(sign * (1 + 0.25 * <f32>trial))
      let products = splat(0)
      let squares = splat(0)
      for (let i: usize = 0; i < 4 * count; i += 16) {
        const x = mul(v128.load(source + i), splat(unit))
        const code = clamp(nearest(mul(x, factor)), splat(-1), splat(most))
        const weighted = importance == 0 ? code : mul(v128.load(importance + i), code)
        products = add(products, mul(weighted, x))
        squares = add(squares, mul(weighted, code))
      }
      const product = total(products)
      const square = total(squares)
      if (!(square > 0)) continue
      if (trial == 0 && sign > 0) best = margin * (2 * product - square)
      const gain = (product * product) / square
      if (gain > best) {
        best = gain
        scale = product / square
      }
    }
  }
  return scale * top
}

/** Where the importance of the next block is: a row's starts again with the next row. */
// @ts-ignore: decorator
@inline
function nextImportance(at: usize, importance: usize, bytes: usize, rowLength: i32): usize {
  if (importance == 0) return 0
  return at + bytes == importance + 4 * <usize>rowLength ? importance : at + bytes
}

/** Quantizes rows of f32 to blocks of TQ2_0. @param importance an f32 for each column, or 0 for none. */
export function quantize_tq2_0(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  let at = importance
  for (let block = (rows * rowLength) >> 8; block > 0; block--) {
    const scale = scaleOf(source, 256, at, 1)
    const factor = f32x4.splat(inverseOf(scale))
    for (let part: usize = 0; part < 4; part++) {
      // Sixteen bytes hold values that lie 32 apart: parts 0, 1 of the first 128 values, 2, 3 of the last.
      const from = source + 512 * (part >> 1) + 64 * (part & 1)
      let packed = i8x16.splat(0)
      for (let i: usize = 0; i < 4; i++) {
        packed = v128.or(packed, i8x16.shl(sixteenTrits(from + 128 * i, factor, 1), 2 * <i32>i))
      }
      v128.store(target + 16 * part, packed)
    }
    store<u16>(target, <u16>floatToHalf(scale), 64)
    at = nextImportance(at, importance, 1024, rowLength)
    source += 1024
    target += 66
  }
}

/** Quantizes rows of f32 to blocks of TQ1_0. @param importance an f32 for each column, or 0 for none. */
export function quantize_tq1_0(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  let at = importance
  for (let block = (rows * rowLength) >> 8; block > 0; block--) {
    const scale = scaleOf(source, 256, at, 1)
    const factor = f32x4.splat(inverseOf(scale))
    for (let i: usize = 0; i < 256; i += 16) v128.store(codes + i, sixteenTrits(source + 4 * i, factor, 1))
    for (let i: usize = 0; i < 32; i++) store<u8>(target + i, fiveTrits(codes + i, 32, 5))
    for (let i: usize = 0; i < 16; i++) store<u8>(target + i, fiveTrits(codes + 160 + i, 16, 5), 32)
    for (let i: usize = 0; i < 4; i++) store<u8>(target + i, fiveTrits(codes + 240 + i, 4, 4), 48)
    store<u16>(target, <u16>floatToHalf(scale), 52)
    at = nextImportance(at, importance, 1024, rowLength)
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
  let at = importance
  for (let block = (rows * rowLength) >> 6; block > 0; block--) {
    const scale = scaleOf(source, 64, at, 2)
    const factor = f32x4.splat(inverseOf(scale))
    store<u16>(target, <u16>floatToHalf(scale))
    for (let i: usize = 0; i < 64; i += 16) v128.store(codes + i, sixteenTrits(source + 4 * i, factor, 2))
    for (let i: usize = 0; i < 16; i++) {
      const four = load<u32>(codes + 4 * i)
      store<u8>(target + i, four | (four >> 6) | (four >> 12) | (four >> 18), 2)
    }
    at = nextImportance(at, importance, 256, rowLength)
    source += 256
    target += 18
  }
}

/** Quantizes rows of f32 to blocks of Q1_0. @param importance an f32 for each column, or 0 for none. */
export function quantize_q1_0(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  let at = importance
  for (let block = (rows * rowLength) >> 7; block > 0; block--) {
    // In this order, because ggml sums so.
    let sum: f32 = 0
    let weight: f32 = 0
    for (let i: usize = 0; i < 512; i += 4) {
      const one: f32 = at == 0 ? 1 : load<f32>(at + i)
      sum += one * abs(load<f32>(source + i))
      weight += one
    }
    store<u16>(target, <u16>floatToHalf(weight > 0 ? sum / weight : 0))
    for (let i: usize = 0; i < 16; i++) {
      const low = i32x4.bitmask(f32x4.ge(v128.load(source + 32 * i, 0), f32x4.splat(0)))
      const high = i32x4.bitmask(f32x4.ge(v128.load(source + 32 * i, 16), f32x4.splat(0)))
      store<u8>(target + i, low | (high << 4), 2)
    }
    at = nextImportance(at, importance, 512, rowLength)
    source += 512
    target += 18
  }
}
