// Points of IQ1 (levels -1, 0, 1) and of IQ2 (1, 3.125, 5.375) near eight values at a given scale: see cheapest-changes.ts.
import { changes, keys, searchChanges, sorted } from './cheapest-changes'
import { pointsOfIq1 } from './codebooks'
import { add, mul, pick, splat, sub } from './lanes'

const levelsOfIq1 = memory.data<f32>([-1, 0, 1])

/** Writes the cost of changing a value, with the value's place in its lowest bits, and what it adds to the combination's number. */
// @ts-ignore: decorator
@inline
function storeChange(at: usize, cost: v128, change: v128): void {
  v128.store(sorted + at, v128.or(v128.and(cost, i32x4.splat(~7)), i32x4.splat(<i32>at >> 4)))
  v128.store(changes + at, change)
}

/**
 * Finds points of IQ1 for four groups of eight values in the lanes; its points were numbered before.
 * @param x eight vectors of values, `w` of weights.
 * @param inverse one over the scale of each lane.
 * @param shift what is added to the levels.
 * @param points where to write the points' numbers, four u32, and their errors in units of the scale squared.
 */
export function findTernary(x: usize, w: usize, inverse: usize, shift: f32, points: usize): void {
  const by = v128.load(inverse)
  let error = splat(0), key = i32x4.splat(0)
  let power: i32 = 1
  for (let i: usize = 0; i < 128; i += 16) {
    const t = sub(mul(v128.load(x + i), by), splat(shift)), weight = v128.load(w + i)
    const a = f32x4.abs(t)
    const outer = f32x4.gt(a, splat(0.5))
    const rest = sub(a, v128.and(outer, splat(1)))
    error = add(error, mul(weight, mul(rest, rest)))
    const cost = mul(weight, f32x4.abs(sub(add(a, a), splat(1))))
    // The sign of t times the power of three; a change goes there from 0, and back from there.
    const negative = i32x4.shr_s(t, 31), place = i32x4.splat(power)
    const away = i32x4.sub(v128.xor(place, negative), negative)
    // The middle level has the digit 1.
    key = i32x4.add(key, i32x4.add(place, v128.and(outer, away)))
    storeChange(i, cost, i32x4.sub(v128.xor(away, outer), outer))
    power *= 3
  }
  v128.store(keys, key)
  v128.store(points, error, 16)
  searchChanges(x, w, inverse, shift, levelsOfIq1, pointsOfIq1, 2048, points)
}

/**
 * The same for the magnitudes of IQ2, whose `levels` and `codebook` of `count` points are given. The change is that across the nearer of
 * the two boundaries between levels.
 */
export function findOfThree(
  x: usize, w: usize, inverse: usize, levels: usize, codebook: usize, count: u32, points: usize,
): void {
  const by = v128.load(inverse)
  const low = v128.load32_splat(levels), middle = v128.load32_splat(levels, 4), high = v128.load32_splat(levels, 8)
  const lowStep = sub(middle, low), highStep = sub(high, middle), half = splat(0.5)
  const lowBound = mul(add(low, middle), half), highBound = mul(add(middle, high), half)
  const lowFactor = add(lowStep, lowStep), highFactor = add(highStep, highStep)
  let error = splat(0), key = i32x4.splat(0)
  let power: i32 = 1
  for (let i: usize = 0; i < 128; i += 16) {
    const t = mul(v128.load(x + i), by), weight = v128.load(w + i)
    const overLow = sub(t, lowBound), overHigh = sub(t, highBound)
    const aboveLow = f32x4.gt(overLow, splat(0)), aboveHigh = f32x4.gt(overHigh, splat(0))
    const rest = sub(t, add(low, add(v128.and(aboveLow, lowStep), v128.and(aboveHigh, highStep))))
    error = add(error, mul(weight, mul(rest, rest)))
    const acrossLow = f32x4.abs(mul(overLow, lowFactor)), acrossHigh = f32x4.abs(mul(overHigh, highFactor))
    const crossHigh = v128.or(aboveHigh, v128.and(aboveLow, f32x4.lt(acrossHigh, acrossLow)))
    const cost = mul(weight, pick(crossHigh, acrossHigh, acrossLow))
    const place = i32x4.splat(power)
    // Masks are -1 where true.
    key = i32x4.add(key, v128.and(place, aboveLow))
    key = i32x4.add(key, v128.and(place, aboveHigh))
    const down = pick(crossHigh, aboveHigh, aboveLow)
    storeChange(i, cost, i32x4.sub(v128.xor(place, down), down))
    power *= 3
  }
  v128.store(keys, key)
  v128.store(points, error, 16)
  searchChanges(x, w, inverse, 0, levels, codebook, count, points)
}
