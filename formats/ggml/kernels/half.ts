// 16-bit floats. IEEE half: nearest even, subnormals kept, overflow to infinity, NaN quiet, as ggml_fp32_to_fp16.
// bfloat16: the upper half of an f32, nearest even, NaN quiet. Only integer steps touch a NaN: arithmetic may choose its payload.

/** 2^-24: the step of subnormal halves. */
const stepOfSubnormals: f32 = 5.9604644775390625e-8

/**
 * The value of an IEEE half. Subnormal ones do not go through a subnormal f32, which costs many processors a hundred cycles: the scales of
 * Q6_K are mostly subnormal halves.
 */
// @ts-ignore: decorator
@inline
export function halfToFloat(half: u32): f32 {
  const magnitude = half & 0x7fff
  // Infinity and NaN; a NaN becomes quiet, as it does in hardware.
  const special: u32 = 0x7f800000 | ((half & 0x3ff) << 13) | (half & 0x3ff ? 0x400000 : 0)
  const normal = magnitude < 0x7c00 ? (magnitude << 13) + 0x38000000 : special
  const bits = magnitude < 0x400 ? reinterpret<u32>(<f32>magnitude * stepOfSubnormals) : normal
  return reinterpret<f32>(((half & 0x8000) << 16) | bits)
}

/** The IEEE half nearest to a value. */
// @ts-ignore: decorator
@inline
export function floatToHalf(value: f32): u32 {
  const bits = reinterpret<u32>(value)
  const sign = (bits >> 16) & 0x8000
  const magnitude = bits & 0x7fffffff
  if (magnitude > 0x7f800000) return sign | 0x7e00
  // 2^112 sends what is too large to infinity. Then adding a power of two 2^13 times greater than the value
  // rounds it to 11 bits (fewer below the least normal half).
  const scaled = reinterpret<f32>(magnitude) * reinterpret<f32>(0x77800000) * reinterpret<f32>(0x08800000)
  let exponent = magnitude & 0x7f800000
  if (exponent < 0x38800000) exponent = 0x38800000
  const rounded = reinterpret<u32>(reinterpret<f32>(exponent + 0x07800000) + scaled)
  return sign | (((rounded >> 13) & 0x7c00) + (rounded & 0x0fff))
}

/** `floatToHalf` of four values; the halves lie in the low 16 bits of the lanes. */
// @ts-ignore: decorator
@inline
export function floatsToHalves(values: v128): v128 {
  const sign = v128.and(i32x4.shr_u(values, 16), i32x4.splat(0x8000))
  const magnitude = v128.and(values, i32x4.splat(0x7fffffff))
  const scaled = f32x4.mul(
    f32x4.mul(magnitude, f32x4.splat(reinterpret<f32>(0x77800000))),
    f32x4.splat(reinterpret<f32>(0x08800000)),
  )
  const exponent = i32x4.max_u(v128.and(magnitude, i32x4.splat(0x7f800000)), i32x4.splat(0x38800000))
  const rounded = f32x4.add(i32x4.add(exponent, i32x4.splat(0x07800000)), scaled)
  const finite = i32x4.add(
    v128.and(i32x4.shr_u(rounded, 13), i32x4.splat(0x7c00)),
    v128.and(rounded, i32x4.splat(0x0fff)),
  )
  const isNan = i32x4.gt_s(magnitude, i32x4.splat(0x7f800000))
  return v128.or(sign, v128.bitselect(i32x4.splat(0x7e00), finite, isNan))
}

/** `halfToFloat` of four halves, which lie in the low 16 bits of the lanes. */
// @ts-ignore: decorator
@inline
export function halvesToFloats(halves: v128): v128 {
  const magnitude = v128.and(halves, i32x4.splat(0x7fff))
  const shifted = i32x4.shl(magnitude, 13)
  const isSpecial = i32x4.gt_s(magnitude, i32x4.splat(0x7bff))
  // All of the exponent's bits are set by adding twice.
  const normal = i32x4.add(i32x4.add(shifted, i32x4.splat(0x38000000)), v128.and(isSpecial, i32x4.splat(0x38000000)))
  const quiet = v128.and(i32x4.gt_s(magnitude, i32x4.splat(0x7c00)), i32x4.splat(0x400000))
  const subnormal = f32x4.mul(f32x4.convert_i32x4_u(magnitude), f32x4.splat(stepOfSubnormals))
  const value = v128.bitselect(subnormal, normal, i32x4.lt_u(magnitude, i32x4.splat(0x400)))
  return v128.or(v128.or(value, quiet), i32x4.shl(v128.and(halves, i32x4.splat(0x8000)), 16))
}

/** The bfloat16 nearest to each of four values, in the low 16 bits of the lanes. */
// @ts-ignore: decorator
@inline
export function floatsToBfloats(values: v128): v128 {
  const upper = i32x4.shr_u(values, 16)
  const rounding = i32x4.add(v128.and(upper, i32x4.splat(1)), i32x4.splat(0x7fff))
  const rounded = i32x4.shr_u(i32x4.add(values, rounding), 16)
  const isNan = i32x4.gt_s(v128.and(values, i32x4.splat(0x7fffffff)), i32x4.splat(0x7f800000))
  return v128.bitselect(v128.or(upper, i32x4.splat(0x40)), rounded, isNan)
}
