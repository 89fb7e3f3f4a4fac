// The best point of the codebook of IQ1 for eight values at a given scale, without a look at all of its 2048 points.
//
// In units of the scale and less the common shift, a value t has the nearest level l of -1, 0, 1. Giving it the second nearest instead
// costs w |2 |t| - 1|. Almost a third of all 6561 combinations of levels are points, so that cheap changes soon lead to one: the
// values are sorted by what a change costs, and subsets of changes are tried until a further value's cost exceeds the best found.
// Combinations are numbered to the base of three, so that a change adds or takes a power of three.
import { pointsOfIq1 } from './codebooks'
import { add, mul, splat, sub } from './lanes'
import { linesAt } from './codebook-search'
import { scratch } from './scratch'

/** u16 for each combination: 1 + the number of the point, or 0. Then the subsets: an f32 cost and an i32 of changes each. */
const numbers: usize = linesAt
const subsets: usize = numbers + 6576 * 2

const sorted = memory.data(128, 16)
const changes = memory.data(128, 16)
const keys = memory.data(16, 16)
const costs = memory.data(16, 16)

/** Numbers the points; before the first search of a call, since other encoders use the same memory. */
export function numberPoints(): void {
  const at = scratch() + numbers
  memory.fill(at, 0, 6561 * 2)
  for (let i: usize = 0; i < 2048; i++) {
    let packed = <u32>load<u16>(pointsOfIq1 + 2 * i)
    let key: usize = 0
    for (let power: usize = 1; power < 6561; power *= 3) {
      key += power * <usize>(packed & 3)
      packed >>= 2
    }
    store<u16>(at + 2 * key, <u16>(i + 1))
  }
}

/** Sorts two of the eight vectors; costs are positive, so that their bits sort as they do. */
// @ts-ignore: decorator
@inline
function order(a: usize, b: usize): void {
  const x = v128.load(sorted + 16 * a), y = v128.load(sorted + 16 * b)
  v128.store(sorted + 16 * a, i32x4.min_s(x, y))
  v128.store(sorted + 16 * b, i32x4.max_s(x, y))
}

/** Batcher's network for eight. */
// @ts-ignore: decorator
@inline
function sortCosts(): void {
  order(0, 1); order(2, 3); order(4, 5); order(6, 7)
  order(0, 2); order(1, 3); order(4, 6); order(5, 7)
  order(1, 2); order(5, 6)
  order(0, 4); order(1, 5); order(2, 6); order(3, 7)
  order(2, 4); order(3, 5)
  order(1, 2); order(3, 4); order(5, 6)
}

/**
 * Finds points for four groups of eight values in the lanes.
 * @param x eight vectors of values, `w` of weights.
 * @param inverse one over the scale of each lane.
 * @param shift what is added to the levels.
 * @param points where to write the points' numbers, four u32.
 * @returns the errors in units of the scale squared.
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
    // The cost, with the value's place in its lowest bits.
    const cost = mul(weight, f32x4.abs(sub(add(a, a), splat(1))))
    v128.store(sorted + i, v128.or(v128.and(cost, i32x4.splat(~7)), i32x4.splat(<i32>i >> 4)))
    // The sign of t times the power of three; a change goes there from 0, and back from there.
    const negative = i32x4.shr_s(t, 31), place = i32x4.splat(power)
    const away = i32x4.sub(v128.xor(place, negative), negative)
    key = i32x4.add(key, i32x4.add(place, v128.and(outer, away)))
    v128.store(changes + i, i32x4.sub(v128.xor(away, outer), outer))
    power *= 3
  }
  v128.store(keys, key)
  v128.store(costs, splat(0))
  sortCosts()
  for (let lane: usize = 0; lane < 16; lane += 4) {
    const found = <u32>load<u16>(scratch() + numbers + 2 * <usize>load<u32>(keys + lane))
    store<u32>(points + lane, found != 0 ? found - 1 : changeCheaply(lane, x + lane, w + lane, load<f32>(inverse + lane), shift))
  }
  v128.store(points, add(error, v128.load(costs)), 16)
}

/** Tries subsets of changes for one lane; leaves the cost in `costs`. */
function changeCheaply(lane: usize, x: usize, w: usize, inverse: f32, shift: f32): u32 {
  const map = scratch() + numbers + 2 * <usize>load<u32>(keys + lane)
  const list = scratch() + subsets
  store<f32>(list, 0)
  store<i32>(list, 0, 4)
  let end = list + 8
  let best: f32 = f32.MAX_VALUE
  let point: u32 = 0
  for (let i: usize = 0; i < 128; i += 16) {
    const entry = load<u32>(sorted + i + lane)
    const cost = reinterpret<f32>(entry & ~7)
    if (cost >= best) break
    const change = load<i32>(changes + 16 * <usize>(entry & 7) + lane)
    for (let from = list, last = end; from < last; from += 8) {
      const sum = load<f32>(from) + cost
      if (sum >= best) continue
      const all = load<i32>(from, 4) + change
      const found = <u32>load<u16>(map + (all << 1))
      if (found != 0) {
        best = sum
        point = found - 1
      } else {
        store<f32>(end, sum)
        store<i32>(end, all, 4)
        end += 8
      }
    }
  }
  if (best == f32.MAX_VALUE) return nearestOfAll(lane, x, w, inverse, shift)
  store<f32>(costs + lane, best)
  return point
}

/** The last resort: all points. */
function nearestOfAll(lane: usize, x: usize, w: usize, inverse: f32, shift: f32): u32 {
  let best: f32 = f32.MAX_VALUE
  let point: u32 = 0
  for (let j: u32 = 0; j < 2048; j++) {
    let packed = <u32>load<u16>(pointsOfIq1 + 2 * <usize>j)
    let cost: f32 = 0
    for (let i: usize = 0; i < 128; i += 16) {
      const t = load<f32>(x + i) * inverse - shift
      const nearest: f32 = abs(t) > 0.5 ? abs(t) - 1 : abs(t)
      const rest = t - (<f32>(packed & 3) - 1)
      cost += load<f32>(w + i) * (rest * rest - nearest * nearest)
      packed >>= 2
    }
    if (cost < best) {
      best = cost
      point = j
    }
  }
  store<f32>(costs + lane, best)
  return point
}
