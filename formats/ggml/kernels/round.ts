// Rounding as C's roundf does, halves away from zero; what ggml's plain encoders use.

/** Largest magnitude of `count` f32, a multiple of 4. */
// @ts-ignore: decorator
@inline
export function greatest(source: usize, count: usize): f32 {
  let all = f32x4.splat(0)
  for (let i: usize = 0; i < 4 * count; i += 16) all = f32x4.pmax(all, f32x4.abs(v128.load(source + i)))
  return max(
    max(f32x4.extract_lane(all, 0), f32x4.extract_lane(all, 1)),
    max(f32x4.extract_lane(all, 2), f32x4.extract_lane(all, 3)),
  )
}

/** 1 / scale; 0 where that is not finite: no scale, or one that is zero as a half, so that the codes do not matter. */
// @ts-ignore: decorator
@inline
export function inverseOf(scale: f32): f32 {
  const inverse: f32 = 1 / scale
  return inverse == Infinity ? 0 : inverse
}

// @ts-ignore: decorator
@inline
function roundVector(values: v128): v128 {
  const whole = f32x4.trunc(values)
  // Exact, so that 0.49999997 stays below a half.
  const rest = f32x4.trunc(f32x4.mul(f32x4.sub(values, whole), f32x4.splat(2)))
  return i32x4.trunc_sat_f32x4_s(f32x4.add(whole, rest))
}

/** Sixteen values times a factor, as signed bytes. */
// @ts-ignore: decorator
@inline
export function roundSixteen(source: usize, factor: v128): v128 {
  const a = roundVector(f32x4.mul(v128.load(source, 0), factor))
  const b = roundVector(f32x4.mul(v128.load(source, 16), factor))
  const c = roundVector(f32x4.mul(v128.load(source, 32), factor))
  const d = roundVector(f32x4.mul(v128.load(source, 48), factor))
  return i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d))
}
