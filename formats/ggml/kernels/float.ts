// F32, F16, BF16: one value a block. Eight values a step, then the rest one by one in the first lane.
import { floatsToBfloats, floatsToHalves, halvesToFloats } from './half'

/** Quantizes rows of f32 to blocks of F32. @param importance an f32 for each column, or 0 for none. */
export function quantize_f32(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  memory.copy(target, source, 4 * <usize>rows * <usize>rowLength)
}

/** Dequantizes blocks of F32 to f32. @param elements values: a multiple of the block size. */
export function dequantize_f32(source: usize, target: usize, elements: i32): void {
  memory.copy(target, source, 4 * <usize>elements)
}

/** Quantizes rows of f32 to blocks of F16. @param importance an f32 for each column, or 0 for none. */
export function quantize_f16(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  const elements = rows * rowLength
  const whole = elements & ~7
  for (let i = 0; i < whole; i += 8) {
    const low = floatsToHalves(v128.load(source, 0))
    const high = floatsToHalves(v128.load(source, 16))
    v128.store(target, i16x8.narrow_i32x4_u(low, high))
    source += 32
    target += 16
  }
  for (let i = whole; i < elements; i++) {
    v128.store_lane<u16>(target, floatsToHalves(v128.load_zero<u32>(source)), 0)
    source += 4
    target += 2
  }
}

/** Dequantizes blocks of F16 to f32. @param elements values: a multiple of the block size. */
export function dequantize_f16(source: usize, target: usize, elements: i32): void {
  const whole = elements & ~7
  for (let i = 0; i < whole; i += 8) {
    const halves = v128.load(source)
    v128.store(target, halvesToFloats(i32x4.extend_low_i16x8_u(halves)), 0)
    v128.store(target, halvesToFloats(i32x4.extend_high_i16x8_u(halves)), 16)
    source += 16
    target += 32
  }
  for (let i = whole; i < elements; i++) {
    v128.store_lane<u32>(target, halvesToFloats(i32x4.splat(load<u16>(source))), 0)
    source += 2
    target += 4
  }
}

/** Quantizes rows of f32 to blocks of BF16. @param importance an f32 for each column, or 0 for none. */
export function quantize_bf16(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  const elements = rows * rowLength
  const whole = elements & ~7
  for (let i = 0; i < whole; i += 8) {
    const low = floatsToBfloats(v128.load(source, 0))
    const high = floatsToBfloats(v128.load(source, 16))
    v128.store(target, i16x8.narrow_i32x4_u(low, high))
    source += 32
    target += 16
  }
  for (let i = whole; i < elements; i++) {
    v128.store_lane<u16>(target, floatsToBfloats(v128.load_zero<u32>(source)), 0)
    source += 4
    target += 2
  }
}

/** Dequantizes blocks of BF16 to f32. @param elements values: a multiple of the block size. */
export function dequantize_bf16(source: usize, target: usize, elements: i32): void {
  const whole = elements & ~7
  for (let i = 0; i < whole; i += 8) {
    const bfloats = v128.load(source)
    v128.store(target, i32x4.shl(i32x4.extend_low_i16x8_u(bfloats), 16), 0)
    v128.store(target, i32x4.shl(i32x4.extend_high_i16x8_u(bfloats), 16), 16)
    source += 16
    target += 32
  }
  for (let i = whole; i < elements; i++) {
    store<u32>(target, <u32>load<u16>(source) << 16)
    source += 2
    target += 4
  }
}

/** Where the first infinity or NaN of f32 values lies; -1 where all are finite. */
export function first_non_finite(source: usize, elements: i32): i32 {
  const exponent = i32x4.splat(0x7f800000)
  const whole = elements & ~15
  let at = 0
  for (; at < whole; at += 16) {
    const from = source + (<usize>at << 2)
    const a = i32x4.eq(v128.and(v128.load(from, 0), exponent), exponent)
    const b = i32x4.eq(v128.and(v128.load(from, 16), exponent), exponent)
    const c = i32x4.eq(v128.and(v128.load(from, 32), exponent), exponent)
    const d = i32x4.eq(v128.and(v128.load(from, 48), exponent), exponent)
    if (v128.any_true(v128.or(v128.or(a, b), v128.or(c, d)))) break
  }
  for (; at < elements; at++) {
    if ((load<u32>(source + (<usize>at << 2)) & 0x7f800000) == 0x7f800000) return at
  }
  return -1
}

/**
 * The largest |x| of f32 values; NaN or infinity where there is one. By the bits: without their sign, floats are in the order of the
 * integers that their bits are, infinity and NaN last.
 */
export function largest_magnitude(source: usize, elements: i32): f32 {
  const withoutSign = i32x4.splat(0x7fffffff)
  const whole = elements & ~15
  let a = i32x4.splat(0)
  let b = a
  let c = a
  let d = a
  let at = 0
  for (; at < whole; at += 16) {
    const from = source + (<usize>at << 2)
    a = i32x4.max_u(a, v128.and(v128.load(from, 0), withoutSign))
    b = i32x4.max_u(b, v128.and(v128.load(from, 16), withoutSign))
    c = i32x4.max_u(c, v128.and(v128.load(from, 32), withoutSign))
    d = i32x4.max_u(d, v128.and(v128.load(from, 48), withoutSign))
  }
  const lanes = i32x4.max_u(i32x4.max_u(a, b), i32x4.max_u(c, d))
  let largest = max(max(i32x4.extract_lane(lanes, 0), i32x4.extract_lane(lanes, 1)), max(i32x4.extract_lane(lanes, 2), i32x4.extract_lane(lanes, 3)))
  for (; at < elements; at++) largest = max(largest, load<i32>(source + (<usize>at << 2)) & 0x7fffffff)
  return reinterpret<f32>(largest)
}
