// Exhaustive search for the best point of a codebook, for four groups of values in the four lanes.
//
// With weights w and magnitudes x, the error of point g at scale s is sum w (x - s g)^2 = sum w x^2 + s (s Q - P), where
// P = 2 sum w x g and Q = sum w g^2 do not depend on s. So each point is a line, s Q - P, and the best point at a scale is the lowest
// line there. P and Q are sums over the two halves of a point, of which there are few (81 of four values at three levels), so that a
// point costs two additions for all scales, and two operations and a minimum for each scale.
import { scratch } from './scratch'

/** Bytes of a line: a vector of P, then a vector of Q. */
export const lineBytes: usize = 32

// Offsets in the scratch memory: lines of single values, of pairs, of the two halves; then what the encoders keep.
const singles: usize = 0
const pairs: usize = 1024
const lowHalf: usize = 2048
const highHalf: usize = lowHalf + 256 * lineBytes
/** Where the lines of a super-block's points begin. */
export const linesAt: usize = highHalf + 256 * lineBytes

// @ts-ignore: decorator
@inline
function storeLine(at: usize, p: v128, q: v128): void {
  v128.store(at, p, 0)
  v128.store(at, q, 16)
}

/** Entry a + stride * b becomes the sum of line a of one table and line b of another. */
// @ts-ignore: decorator
@inline
function combine(low: usize, high: usize, levels: usize, target: usize, stride: usize): void {
  for (let b: usize = 0; b < levels; b++) {
    const p = v128.load(high + lineBytes * b, 0)
    const q = v128.load(high + lineBytes * b, 16)
    for (let a: usize = 0; a < levels; a++) {
      const from = low + lineBytes * a
      storeLine(target + lineBytes * (a + b * stride), f32x4.add(v128.load(from, 0), p), f32x4.add(v128.load(from, 16), q))
    }
  }
}

/** The lines of one value at each level. */
// @ts-ignore: decorator
@inline
function fillSingle(value: usize, weight: usize, levels: usize, count: usize, target: usize): void {
  const w = v128.load(weight)
  const p = f32x4.mul(f32x4.mul(v128.load(value), w), f32x4.splat(2))
  for (let i: usize = 0; i < count; i++) {
    const level = v128.load32_splat(levels + 4 * i)
    storeLine(target + lineBytes * i, f32x4.mul(p, level), f32x4.mul(f32x4.mul(w, level), level))
  }
}

/** The lines of four values at three levels; the index has two bits for each level. */
// @ts-ignore: decorator
@inline
function fillHalf(values: usize, weights: usize, levels: usize, target: usize): void {
  const at = scratch()
  for (let i: usize = 0; i < 4; i++) fillSingle(values + 16 * i, weights + 16 * i, levels, 3, at + singles + 4 * lineBytes * i)
  const high = at + pairs + 9 * lineBytes
  combine(at + singles, at + singles + 4 * lineBytes, 3, at + pairs, 3)
  combine(at + singles + 8 * lineBytes, at + singles + 12 * lineBytes, 3, high, 3)
  for (let b: usize = 0; b < 3; b++) {
    for (let c: usize = 0; c < 3; c++) {
      const p = v128.load(high + lineBytes * (3 * c + b), 0)
      const q = v128.load(high + lineBytes * (3 * c + b), 16)
      const to = target + lineBytes * (16 * b + 64 * c)
      for (let i: usize = 0; i < 3; i++) {
        for (let j: usize = 0; j < 3; j++) {
          const from = at + pairs + lineBytes * (3 * j + i)
          storeLine(to + lineBytes * (i + 4 * j), f32x4.add(v128.load(from, 0), p), f32x4.add(v128.load(from, 16), q))
        }
      }
    }
  }
}

/**
 * The lines of points, from those of their halves, whose indices are the lower and the upper bits of the packed point; and on the way what
 * addLowest does with them.
 */
// @ts-ignore: decorator
@inline
function fillPoints(points: usize, count: usize, bits: u32, lines: usize, scales: usize, sums: usize): void {
  const low = scratch() + lowHalf
  const high = scratch() + highHalf
  const s0 = v128.load(scales, 0)
  const s1 = v128.load(scales, 16)
  const s2 = v128.load(scales, 32)
  const s3 = v128.load(scales, 48)
  let low0 = f32x4.splat(f32.MAX_VALUE)
  let low1 = low0
  let low2 = low0
  let low3 = low0
  for (const end = points + 2 * count; points < end; points += 2) {
    const packed = <u32>load<u16>(points)
    const a = low + lineBytes * <usize>(packed & ((1 << bits) - 1))
    const b = high + lineBytes * <usize>(packed >> bits)
    const p = f32x4.add(v128.load(a, 0), v128.load(b, 0))
    const q = f32x4.add(v128.load(a, 16), v128.load(b, 16))
    storeLine(lines, p, q)
    lines += lineBytes
    low0 = f32x4.pmin(low0, f32x4.sub(f32x4.mul(q, s0), p))
    low1 = f32x4.pmin(low1, f32x4.sub(f32x4.mul(q, s1), p))
    low2 = f32x4.pmin(low2, f32x4.sub(f32x4.mul(q, s2), p))
    low3 = f32x4.pmin(low3, f32x4.sub(f32x4.mul(q, s3), p))
  }
  addSums(sums, low0, low1, low2, low3)
}

// @ts-ignore: decorator
@inline
function addSums(sums: usize, a: v128, b: v128, c: v128, d: v128): void {
  v128.store(sums, f32x4.add(v128.load(sums, 0), a), 0)
  v128.store(sums, f32x4.add(v128.load(sums, 16), b), 16)
  v128.store(sums, f32x4.add(v128.load(sums, 32), c), 32)
  v128.store(sums, f32x4.add(v128.load(sums, 48), d), 48)
}

/**
 * The lines of points of eight values at three levels, and the lowest of them at four scales.
 * @param values eight vectors; lane k belongs to group k. `weights` likewise.
 * @param levels three f32.
 * @param points packed points, two bits a level.
 * @param lines where the lines go: 32 bytes a point.
 * @param scales four vectors.
 * @param sums four vectors, to which the lowest lines' values are added.
 */
export function fillLines(
  values: usize, weights: usize, levels: usize, points: usize, count: usize, lines: usize, scales: usize, sums: usize,
): void {
  fillHalf(values, weights, levels, scratch() + lowHalf)
  fillHalf(values + 64, weights + 64, levels, scratch() + highHalf)
  fillPoints(points, count, 8, lines, scales, sums)
}

/** Adds to four sums (vectors) the lowest line at each of four scales. */
export function addLowest(lines: usize, count: usize, scales: usize, sums: usize): void {
  const s0 = v128.load(scales, 0)
  const s1 = v128.load(scales, 16)
  const s2 = v128.load(scales, 32)
  const s3 = v128.load(scales, 48)
  let low0 = f32x4.splat(f32.MAX_VALUE)
  let low1 = low0
  let low2 = low0
  let low3 = low0
  for (const end = lines + lineBytes * count; lines < end; lines += lineBytes) {
    const p = v128.load(lines, 0)
    const q = v128.load(lines, 16)
    low0 = f32x4.pmin(low0, f32x4.sub(f32x4.mul(q, s0), p))
    low1 = f32x4.pmin(low1, f32x4.sub(f32x4.mul(q, s1), p))
    low2 = f32x4.pmin(low2, f32x4.sub(f32x4.mul(q, s2), p))
    low3 = f32x4.pmin(low3, f32x4.sub(f32x4.mul(q, s3), p))
  }
  addSums(sums, low0, low1, low2, low3)
}

/**
 * The lowest line at a scale; its index is in the lowest bits of the value: among lines that differ by less than those bits are worth, any
 * may win.
 * @param count a power of two.
 * @param scale a vector.
 * @param found where to write the index, and then the value.
 */
export function findLowest(lines: usize, count: usize, scale: usize, found: usize): void {
  const s = v128.load(scale)
  const bits = i32x4.splat(<i32>count - 1)
  const one = i32x4.splat(1)
  let low = f32x4.splat(f32.MAX_VALUE)
  let index = i32x4.splat(0)
  for (const end = lines + lineBytes * count; lines < end; lines += lineBytes) {
    const value = f32x4.sub(f32x4.mul(v128.load(lines, 16), s), v128.load(lines, 0))
    low = f32x4.pmin(low, v128.or(v128.andnot(value, bits), index))
    index = i32x4.add(index, one)
  }
  v128.store(found, v128.and(low, bits), 0)
  v128.store(found, low, 16)
}
