// Scales for the codebook encoders; four runs of values in the four lanes.
import { add, mul, pick, rounder, splat, sub, values, weights } from './lanes'

/** The odd number from 1 to `most` that is nearest. */
// @ts-ignore: decorator
@inline
export function nearestOdd(x: v128, most: f32): v128 {
  const half = sub(add(mul(sub(x, splat(1)), splat(0.5)), splat(rounder)), splat(rounder))
  const inside = f32x4.pmin(f32x4.pmax(half, splat(0)), splat((most - 1) / 2))
  return add(add(inside, inside), splat(1))
}

/**
 * The best scale if every value could have the nearest level, whatever the codebook: a good guess at the scale for the codebook.
 * @param at offset of the runs in `values` and `weights`.
 * @param n values in a run.
 * @param odd levels 1, 3, .. 15; otherwise 1, 3.125, 5.375.
 * @returns a scale above 0 for each run.
 */
// @ts-ignore: decorator
@inline
export function freeScale(at: usize, n: usize, odd: bool): v128 {
  let wxx = splat(0), ww = splat(0)
  for (let i = at; i < at + 16 * n; i += 16) {
    const x = v128.load(values + i), w = v128.load(weights + i)
    wxx = add(wxx, mul(mul(x, x), w))
    ww = add(ww, w)
  }
  // A run of zeros needs a scale too, for the divisions to come.
  const size = f32x4.pmax(f32x4.sqrt(f32x4.div(wxx, ww)), splat(1e-6))
  let scale = mul(size, splat(odd ? 0.06 : 0.15))
  let bestGain = splat(0), best = size
  // Over as far a range: more levels have more local optima.
  const candidates = odd ? 16 : 10
  for (let k = 0; k < candidates; k++) {
    const inverse = f32x4.div(splat(1), scale)
    let wxq = splat(0), wqq = splat(0)
    for (let i = at; i < at + 16 * n; i += 16) {
      const x = v128.load(values + i), t = mul(x, inverse)
      let q: v128
      if (odd) q = nearestOdd(t, 15)
      else {
        const steps = add(v128.and(f32x4.gt(t, splat(2.0625)), splat(2.125)), v128.and(f32x4.gt(t, splat(4.25)), splat(2.25)))
        q = add(splat(1), steps)
      }
      const wq = mul(v128.load(weights + i), q)
      wxq = add(wxq, mul(wq, x))
      wqq = add(wqq, mul(wq, q))
    }
    const fit = f32x4.div(wxq, wqq), gain = mul(fit, wxq)
    const better = v128.and(f32x4.gt(gain, bestGain), f32x4.gt(fit, splat(0)))
    bestGain = pick(better, gain, bestGain)
    best = pick(better, fit, best)
    scale = mul(scale, splat(odd ? 1.15 : 1.17))
  }
  return best
}

/**
 * Where the error is least, from the sums of lowest lines (see codebook-search.ts) at four scales: between neighbours the sum is nearly a
 * line, so that the error is nearly a parabola.
 * @param first the least scale; the others are greater by `ratio` each.
 * @param sums four vectors.
 * @param scale where to write the best scale; 0 where every scale is worse than zeros.
 * @param curvature where to write how fast the error grows with the square of the distance from it.
 */
// @ts-ignore: decorator
@inline
export function interpolate(first: v128, ratio: f32, sums: usize, scale: usize, curvature: usize): void {
  let s0 = first, f0 = v128.load(sums)
  let bestError = splat(0), best = splat(0), bestSlope = splat(0)
  for (let k: usize = 1; k < 4; k++) {
    const s1 = mul(s0, splat(ratio)), f1 = v128.load(sums + 16 * k)
    const slope = f32x4.div(sub(f1, f0), sub(s1, s0))
    const vertex = mul(sub(s0, f32x4.div(f0, slope)), splat(0.5))
    const s = f32x4.pmin(f32x4.pmax(vertex, s0), s1)
    const error = mul(s, add(f0, mul(slope, sub(s, s0))))
    const better = f32x4.lt(error, bestError)
    bestError = pick(better, error, bestError)
    best = pick(better, s, best)
    bestSlope = pick(better, slope, bestSlope)
    s0 = s1
    f0 = f1
  }
  v128.store(scale, best)
  v128.store(curvature, bestSlope)
}

const gains = memory.data(16, 16)
const factors = memory.data(16, 16)

/**
 * The common factor of scales that are to be stored as factor * (1, 3, .. or 2 * levels - 1): the least sum of
 * curvature * (scale - factor * odd)^2 over twenty candidates, which bring the greatest scale to 17 .. 36 of 31 (so that it may be clipped).
 */
export function fitOddMultiples(scales: usize, curvatures: usize, count: usize, levels: f32): f32 {
  let most: f32 = 0
  for (let i: usize = 0; i < count; i++) most = max(most, load<f32>(scales + 4 * i))
  if (most == 0) return 0
  const highest: f32 = 2 * levels - 1
  let bestGain: f32 = 0, best: f32 = 0
  for (let pass = 0; pass < 5; pass++) {
    const top = mul(add(splat(<f32>(pass << 2)), f32x4(17, 18, 19, 20)), splat(highest / 31))
    const inverse = f32x4.div(top, splat(most))
    let sq = splat(0), qq = splat(0)
    for (let i: usize = 0; i < count; i++) {
      const scale = v128.load32_splat(scales + 4 * i), weight = v128.load32_splat(curvatures + 4 * i)
      const q = nearestOdd(mul(scale, inverse), highest), wq = mul(weight, q)
      sq = add(sq, mul(wq, scale))
      qq = add(qq, mul(wq, q))
    }
    const factor = f32x4.div(sq, qq)
    v128.store(factors, factor)
    v128.store(gains, mul(factor, sq))
    for (let lane: usize = 0; lane < 16; lane += 4) {
      if (load<f32>(gains + lane) > bestGain) {
        bestGain = load<f32>(gains + lane)
        best = load<f32>(factors + lane)
      }
    }
  }
  return best
}
