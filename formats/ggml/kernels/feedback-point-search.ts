// The best point of a codebook of eight values at three levels, at one scale, for four groups in the lanes: a look at all points. What a
// point costs is the sum of what its two halves cost, and of halves there are 81.

import { add, mul, splat, sub } from './lanes'
import { scratch } from './scratch'

/** Offsets in the scratch memory: costs of single values, of pairs, of the lower and the upper halves. */
const singles: usize = 0
const pairs: usize = 1024
const low: usize = 2048
const high: usize = 2048 + 256 * 16

/** Writes what each of `count` levels costs for one value: w (x - scale * level)^2. */
// @ts-ignore: decorator
@inline
function costSingles(x: v128, w: v128, scale: v128, levels: usize, count: usize, to: usize): void {
  for (let i: usize = 0; i < count; i++) {
    const rest = sub(x, mul(scale, v128.load32_splat(levels + 4 * i)))
    v128.store(to + 16 * i, mul(w, mul(rest, rest)))
  }
}

/** Entry i + stride * j becomes entry i of one table plus entry j of another. */
// @ts-ignore: decorator
@inline
function combine(a: usize, b: usize, count: usize, stride: usize, to: usize): void {
  for (let j: usize = 0; j < count; j++) {
    const second = v128.load(b + 16 * j)
    for (let i: usize = 0; i < count; i++) v128.store(to + 16 * (i + stride * j), add(v128.load(a + 16 * i), second))
  }
}

/** Writes what half a point costs; two bits of the index for each level. */
function costHalf(x: usize, w: usize, scale: v128, levels: usize, to: usize): void {
  const at = scratch()
  for (let i: usize = 0; i < 64; i += 16) {
    costSingles(v128.load(x + i), v128.load(w + i), scale, levels, 3, at + singles + 4 * i)
  }
  combine(at + singles, at + singles + 64, 3, 4, at + pairs)
  combine(at + singles + 128, at + singles + 192, 3, 4, at + pairs + 256)
  for (let j: usize = 0; j < 11; j++) {
    if ((j & 3) == 3) continue
    const second = v128.load(at + pairs + 256 + 16 * j)
    for (let i: usize = 0; i < 11; i++) {
      if ((i & 3) != 3) v128.store(to + 16 * (i + 16 * j), add(v128.load(at + pairs + 16 * i), second))
    }
  }
}

/** The number of the cheapest point; those that differ by less than the lowest bits of their cost are taken as equal. */
// @ts-ignore: decorator
@inline
function cheapest(points: usize, count: u32): v128 {
  const a = scratch() + low, b = scratch() + high
  const numberBits = i32x4.splat(<i32>count - 1), one = i32x4.splat(1)
  let best = splat(f32.MAX_VALUE), number = i32x4.splat(0)
  for (const end = points + 2 * <usize>count; points < end; points += 2) {
    const packed = <u32>load<u16>(points)
    const cost = add(v128.load(a + 16 * <usize>(packed & 255)), v128.load(b + 16 * <usize>(packed >> 8)))
    best = f32x4.pmin(best, v128.or(v128.andnot(cost, numberBits), number))
    number = i32x4.add(number, one)
  }
  return v128.and(best, numberBits)
}

/**
 * Finds points for four groups of eight values in the lanes.
 * @param x eight vectors of values, `w` of weights. @param levels three f32. @param points packed, `count` of them, a power of two.
 * @param scaleAt a vector. @param found where to write the points' numbers, four u32.
 */
export function findAmongAll(x: usize, w: usize, scaleAt: usize, levels: usize, points: usize, count: u32, found: usize): void {
  const scale = v128.load(scaleAt)
  costHalf(x, w, scale, levels, scratch() + low)
  costHalf(x + 64, w + 64, scale, levels, scratch() + high)
  v128.store(found, cheapest(points, count))
}
