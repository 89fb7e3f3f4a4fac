// Q8_0: block of 32 in 34 bytes: half d, i8 q[32]; value = d * q.
// d = max|x| / 127, and the codes are x / d rounded half away from zero with d still an f32, as ggml and llama.cpp's converter do.
import { floatToHalf, halfToFloat } from './half'

const blockSize = 32
const blockBytes = 34

export function quantize_q8_0(source: usize, target: usize, rows: i32, rowLength: i32, importance: usize): void {
  const blocks = (rows * rowLength) / blockSize
  for (let block = 0; block < blocks; block++) {
    let greatest = f32x4.splat(0)
    for (let i: usize = 0; i < 128; i += 16) greatest = f32x4.max(greatest, f32x4.abs(v128.load(source + i)))
    const magnitude = max(
      max(f32x4.extract_lane(greatest, 0), f32x4.extract_lane(greatest, 1)),
      max(f32x4.extract_lane(greatest, 2), f32x4.extract_lane(greatest, 3)),
    )
    const scale: f32 = magnitude / 127
    let inverse: f32 = 1 / scale
    // No scale, or one so small that its inverse overflows: the half is zero either way, and so are ggml's codes.
    if (inverse == Infinity) inverse = 0
    store<u16>(target, <u16>floatToHalf(scale))
    const factor = f32x4.splat(inverse)
    v128.store(target + 2, codes(source, factor))
    v128.store(target + 18, codes(source + 64, factor))
    source += 4 * blockSize
    target += blockBytes
  }
}

export function dequantize_q8_0(source: usize, target: usize, elements: i32): void {
  const blocks = elements / blockSize
  for (let block = 0; block < blocks; block++) {
    const scale = f32x4.splat(halfToFloat(load<u16>(source)))
    for (let i: usize = 0; i < 32; i += 8) {
      const codes = v128.load8x8_s(source + 2 + i)
      v128.store(target, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(codes)), scale), 0)
      v128.store(target, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(codes)), scale), 16)
      target += 32
    }
    source += blockBytes
  }
}

/** The codes of sixteen values. */
// @ts-ignore: decorator
@inline
function codes(source: usize, factor: v128): v128 {
  const low = i16x8.narrow_i32x4_s(
    roundHalfAway(f32x4.mul(v128.load(source, 0), factor)),
    roundHalfAway(f32x4.mul(v128.load(source, 16), factor)),
  )
  const high = i16x8.narrow_i32x4_s(
    roundHalfAway(f32x4.mul(v128.load(source, 32), factor)),
    roundHalfAway(f32x4.mul(v128.load(source, 48), factor)),
  )
  return i8x16.narrow_i16x8_s(low, high)
}

// @ts-ignore: decorator
@inline
function roundHalfAway(values: v128): v128 {
  const whole = f32x4.trunc(values)
  // Exact, so that 0.49999997 stays below a half.
  const rest = f32x4.trunc(f32x4.mul(f32x4.sub(values, whole), f32x4.splat(2)))
  return i32x4.trunc_sat_f32x4_s(f32x4.add(whole, rest))
}
