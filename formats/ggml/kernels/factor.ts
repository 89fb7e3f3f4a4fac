// Scales as they are stored: halves, and small integers times one half.

import { floatToHalf, floatsToHalves, halfToFloat, halvesToFloats } from './half'
import { add, clamp, divide, mul, nearest, pick, splat } from './lanes'

/** Bits of the nearest half; what is above its range becomes its largest value, never infinity. */
// @ts-ignore: decorator
@inline
export function toHalf(value: f32): u32 {
  return floatToHalf(min(max(value, -65504), 65504))
}

/**
 * `toHalf` for a factor whose integers are still to be chosen. One of coarse steps (below 2^-17) is rounded away from 0: a factor too
 * small cuts off the largest values, where one too large only costs resolution.
 */
// @ts-ignore: decorator
@inline
export function toHalfAway(value: f32): u32 {
  const half = toHalf(value)
  return (half & 0x7fff) < 0x80 && abs(halfToFloat(half)) < abs(value) ? half + 1 : half
}

export { halfToFloat as ofHalf }

/** 1 / x of a power of two that `normalizer` returned; finite for 0. */
// @ts-ignore: decorator
@inline
export function inverseOfPower(x: f32): f32 {
  return reinterpret<f32>((254 << 23) - reinterpret<u32>(x))
}

/** Stores the bits of the halves nearest to four normalized numbers, and returns what those are worth in normalized units. */
// @ts-ignore: decorator
@inline
export function roundToHalf(x: v128, factor: v128, bits: usize): v128 {
  const unit = i32x4.sub(i32x4.splat(254 << 23), factor)
  const halves = floatsToHalves(clamp(mul(x, unit), splat(-65504), splat(65504)))
  v128.store(bits, halves)
  return mul(halvesToFloats(halves), factor)
}

/**
 * The common factor d of scales that are to be stored as d * integer: the least sum of curvature * (scale - d * integer)^2 among
 * candidates, four at a time in the lanes.
 * @param scales, curvatures f32, `count` of each.
 * @param extreme the scale of largest magnitude; candidate k brings it to first + k * step.
 * @param quadruples candidates / 4.
 */
export function fitFactor(
  scales: usize, curvatures: usize, count: usize, extreme: f32,
  lowest: f32, highest: f32, first: f32, step: f32, quadruples: i32,
): f32 {
  if (extreme == 0) return 0
  let goal = add(splat(first), mul(splat(step), f32x4(0, 1, 2, 3)))
  let bestGain = splat(0)
  let best = splat(0)
  for (let i = 0; i < quadruples; i++) {
    const inverse = f32x4.div(goal, splat(extreme))
    let sl = splat(0)
    let ll = splat(0)
    for (let at: usize = 0; at < 4 * count; at += 4) {
      const scale = v128.load32_splat(scales + at)
      const l = clamp(nearest(mul(scale, inverse)), splat(lowest), splat(highest))
      const wl = mul(v128.load32_splat(curvatures + at), l)
      sl = add(sl, mul(wl, scale))
      ll = add(ll, mul(wl, l))
    }
    const factor = divide(sl, ll)
    const gain = mul(factor, sl)
    const better = f32x4.gt(gain, bestGain)
    bestGain = pick(better, gain, bestGain)
    best = pick(better, factor, best)
    goal = add(goal, splat(4 * step))
  }
  let gain = f32x4.extract_lane(bestGain, 0)
  let factor = f32x4.extract_lane(best, 0)
  if (f32x4.extract_lane(bestGain, 1) > gain) {
    gain = f32x4.extract_lane(bestGain, 1)
    factor = f32x4.extract_lane(best, 1)
  }
  if (f32x4.extract_lane(bestGain, 2) > gain) {
    gain = f32x4.extract_lane(bestGain, 2)
    factor = f32x4.extract_lane(best, 2)
  }
  return f32x4.extract_lane(bestGain, 3) > gain ? f32x4.extract_lane(best, 3) : factor
}

/** Part of the way from least squares to the whole strength. */
const strength: f32 = 0.5

/**
 * The factor for codes found, a part of the way from least squares to the one that keeps the values' strength. Least squares shrink: what
 * they leave is orthogonal to what they give, so that the values' product with themselves falls by as much as the error is. A model
 * whose every matrix is weaker by a tenth does worse than one with a little more error; docs/decisions/0008-strength.md has the figures.
 * @param wxq, wqq sums over values x and codes q with weights w, not 0. @param wxx the sum over x^2.
 */
// @ts-ignore: decorator
@inline
export function shrinkageCorrectedFactor(wxq: f32, wqq: f32, wxx: f32): f32 {
  const gain = wxq / wqq * wxq
  return wxq / wqq * (1 + strength * (min<f32>(wxx / gain, 1.25) - 1))
}

/** The common factor to try in a round after the first (0): once more the best so far, then the first less, and more. */
// @ts-ignore: decorator
@inline
export function nextFactor(round: i32, first: f32, best: f32): f32 {
  if (round == 1) return best
  const away: f32 = 0.035 * <f32>(round >> 1)
  return first * ((round & 1) == 0 ? 1 - away : 1 + away)
}
