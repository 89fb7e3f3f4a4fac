// The best point of a codebook of eight values at three levels, at a given scale, without a look at all of its points.
//
// Each value has a nearest level, and giving it the next one instead costs something. Of all 6561 combinations of levels a third (IQ1) or a
// sixth (IQ2_S) are points, so that cheap changes soon lead to one: the values are sorted by what a change costs, and subsets of
// changes are tried until a further value's cost exceeds the best found. Combinations are numbered to the base of three, so that a
// change adds or takes a power of three.
import { linesAt } from './codebook-search'
import { add, splat } from './lanes'
import { scratch } from './scratch'

/** u16 for each combination: 1 + the number of the point, or 0. Then the subsets: an f32 cost and an i32 of changes each. */
const numbers: usize = linesAt
const subsets: usize = numbers + 6576 * 2

/** For four groups in the lanes, set by the caller: the costs of the eight changes, with the value's place in the lowest three bits. */
export const sorted = memory.data(128, 16)
/** What each change adds to the number of the combination; the numbers of the nearest combinations. */
export const changes = memory.data(128, 16)
export const keys = memory.data(16, 16)
const costs = memory.data(16, 16)

/** Numbers the points; before the first search of a call, since other encoders use the same memory. */
export function numberPoints(points: usize, count: usize): void {
  const at = scratch() + numbers
  memory.fill(at, 0, 6561 * 2)
  for (let i: usize = 0; i < count; i++) {
    let packed = <u32>load<u16>(points + 2 * i)
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
 * From `sorted`, `changes` and `keys`, the points of four groups.
 * @param x eight vectors of values, `w` of weights.
 * @param inverse one over the scale of each lane; value / scale - shift is near a level.
 * @param levels three f32.
 * @param codebook packed points, `count` of them.
 * @param points where to write the points' numbers, four u32; behind them are the errors of the nearest combinations, in units of the
 *   scale squared, which become those of the points.
 */
export function searchChanges(
  x: usize, w: usize, inverse: usize, shift: f32, levels: usize, codebook: usize, count: u32, points: usize,
): void {
  v128.store(costs, splat(0))
  sortCosts()
  for (let lane: usize = 0; lane < 16; lane += 4) {
    const found = <u32>load<u16>(scratch() + numbers + 2 * <usize>load<u32>(keys + lane))
    let point = found - 1
    if (found == 0) {
      point = changeCheaply(lane)
      if (point == none) point = nearestOfAll(lane, x + lane, w + lane, load<f32>(inverse + lane), shift, levels, codebook, count)
    }
    store<u32>(points + lane, point)
  }
  v128.store(points, add(v128.load(points, 16), v128.load(costs)), 16)
}

const none: u32 = 0xffffffff

/** Tries subsets of changes for one lane; leaves the cost in `costs`. */
function changeCheaply(lane: usize): u32 {
  const map = scratch() + numbers + 2 * <usize>load<u32>(keys + lane)
  const list = scratch() + subsets
  store<f32>(list, 0)
  store<i32>(list, 0, 4)
  let end = list + 8
  let best: f32 = f32.MAX_VALUE
  let point = none
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
  if (point != none) store<f32>(costs + lane, best)
  return point
}

/** The last resort: all points. */
function nearestOfAll(
  lane: usize, x: usize, w: usize, inverse: f32, shift: f32, levels: usize, codebook: usize, count: u32,
): u32 {
  let best: f32 = f32.MAX_VALUE
  let point: u32 = 0
  const low = load<f32>(levels), middle = load<f32>(levels, 4), high = load<f32>(levels, 8)
  for (let j: u32 = 0; j < count; j++) {
    let packed = <u32>load<u16>(codebook + 2 * <usize>j)
    let cost: f32 = 0
    for (let i: usize = 0; i < 128; i += 16) {
      const t = load<f32>(x + i) * inverse - shift
      const nearest = min(min(abs(t - low), abs(t - middle)), abs(t - high))
      const rest = t - load<f32>(levels + 4 * <usize>(packed & 3))
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
