// The best point of a codebook of four values at eight levels (IQ3), at a given scale: among the points nearest to the values' levels.
//
// Each value has a nearest level, which makes 4096 combinations; for each a list of the points around it is prepared, nearest first. With
// weights w and values t in units of the scale, point g costs sum w g^2 - 2 w t g, less than another by as much as its error is less.
// Four points are in the lanes.
//
// Memory map of the lists of a codebook: for each combination `near` points as bytes, four points at a time: the first values of all four,
// then the second, and so on, in units of half a level. Then for each combination the points' numbers, u16.
import { add, mul, splat, sub } from './lanes'

/** Points in a list. */
export const near: usize = 32
const numbersAt: usize = 4096 * 4 * near
/** Bytes of the lists of a codebook. */
export const listBytes: usize = numbersAt + 4096 * 2 * near

const distances = memory.data(512, 16)
const counts = memory.data(512, 16)

/** Prepares the lists of a codebook of `count` points, three bits a level, at `lists`; `levels` are 1, 3, .. 13 and the last. */
export function listPoints(lists: usize, levels: usize, points: usize, count: usize): void {
  for (let key: usize = 0; key < 4096; key++) {
    listNear(<u32>key, points, count, lists + numbersAt + 2 * near * key)
    for (let rank: usize = 0; rank < near; rank++) {
      const point = <u32>load<u16>(points + 2 * <usize>load<u16>(lists + numbersAt + 2 * (near * key + rank)))
      const to = lists + 4 * near * key + 16 * (rank >> 2) + (rank & 3)
      for (let i: usize = 0; i < 4; i++) {
        const level = load<f32>(levels + 4 * <usize>((point >> (3 * <u32>i)) & 7))
        store<u8>(to + 4 * i, <u32>(level + level))
      }
    }
  }
}

/** The numbers of the points nearest to a combination of levels, the lower number first where they are equally near. */
function listNear(key: u32, points: usize, count: usize, to: usize): void {
  memory.fill(counts, 0, 512)
  for (let i: usize = 0; i < count; i++) {
    const point = <u32>load<u16>(points + 2 * i)
    let distance: i32 = 0
    for (let shift: u32 = 0; shift < 12; shift += 3) {
      const apart = <i32>((point >> shift) & 7) - <i32>((key >> shift) & 7)
      distance += apart * apart
    }
    store<u8>(distances + i, distance)
    store<u16>(counts + 2 * distance, load<u16>(counts + 2 * distance) + 1)
  }
  // Counts become places: where the next point at a distance goes.
  let place: u32 = 0
  for (let at = counts; at < counts + 512; at += 2) {
    const here = <u32>load<u16>(at)
    store<u16>(at, place)
    place += here
  }
  for (let i: usize = 0; i < count; i++) {
    const at = counts + 2 * <usize>load<u8>(distances + i), rank = <usize>load<u16>(at)
    store<u16>(at, <u16>(rank + 1))
    if (rank < near) store<u16>(to + 2 * rank, <u16>i)
  }
}

/** For each of four values a vector of lanes: four times the weight times the value, because levels are doubled. */
const linear = memory.data(64, 16)
const keys = memory.data(16, 16)

/** The costs of four points, with the first one's rank in the lowest bits. */
// @ts-ignore: decorator
@inline
function costs(at: usize, w0: v128, w1: v128, w2: v128, w3: v128, l0: v128, l1: v128, l2: v128, l3: v128, rank: i32): v128 {
  const levels = v128.load(at)
  const low = i16x8.extend_low_i8x16_u(levels), high = i16x8.extend_high_i8x16_u(levels)
  const g0 = f32x4.convert_i32x4_u(i32x4.extend_low_i16x8_u(low)), g1 = f32x4.convert_i32x4_u(i32x4.extend_high_i16x8_u(low))
  const g2 = f32x4.convert_i32x4_u(i32x4.extend_low_i16x8_u(high)), g3 = f32x4.convert_i32x4_u(i32x4.extend_high_i16x8_u(high))
  const a = add(mul(g0, sub(mul(g0, w0), l0)), mul(g1, sub(mul(g1, w1), l1)))
  const b = add(mul(g2, sub(mul(g2, w2), l2)), mul(g3, sub(mul(g3, w3), l3)))
  return v128.or(v128.and(add(a, b), i32x4.splat(~31)), i32x4.splat(rank))
}

/**
 * Finds points for four groups of four values in the lanes; the lists were prepared before.
 * @param x four vectors of values, `w` of weights.
 * @param inverse one over the scale of each lane.
 * @param lists of the codebook's points.
 * @param tried points of a list to look at: a multiple of 4.
 * @param points where to write the points' numbers, four u32, and their errors in units of the scale squared, less sum w t^2.
 */
export function findNear(x: usize, w: usize, inverse: usize, lists: usize, tried: usize, points: usize): void {
  const by = v128.load(inverse)
  let key = i32x4.splat(0)
  for (let i: usize = 0; i < 4; i++) {
    const t = mul(v128.load(x + 16 * i), by), weighed = mul(v128.load(w + 16 * i), t)
    const level = i32x4.trunc_sat_f32x4_u(f32x4.pmin(mul(t, splat(0.5)), splat(7)))
    key = v128.or(key, i32x4.shl(level, 3 * <i32>i))
    v128.store(linear + 16 * i, mul(weighed, splat(4)))
  }
  v128.store(keys, key)
  for (let lane: usize = 0; lane < 16; lane += 4) {
    const number = <usize>load<u32>(keys + lane), list = lists + 4 * near * number
    const w0 = v128.load32_splat(w + lane), w1 = v128.load32_splat(w + lane, 16)
    const w2 = v128.load32_splat(w + lane, 32), w3 = v128.load32_splat(w + lane, 48)
    const l0 = v128.load32_splat(linear + lane), l1 = v128.load32_splat(linear + lane, 16)
    const l2 = v128.load32_splat(linear + lane, 32), l3 = v128.load32_splat(linear + lane, 48)
    let best = splat(f32.MAX_VALUE)
    for (let rank: usize = 0; rank < tried; rank += 4) {
      best = f32x4.pmin(best, costs(list + 4 * rank, w0, w1, w2, w3, l0, l1, l2, l3, <i32>rank))
    }
    // The lane is the rest of the rank.
    best = v128.or(best, i32x4(0, 1, 2, 3))
    best = f32x4.pmin(best, v128.shuffle<i32>(best, best, 2, 3, 0, 1))
    best = f32x4.pmin(best, v128.shuffle<i32>(best, best, 1, 0, 3, 2))
    const rank = <usize>i32x4.extract_lane(best, 0) & 31
    store<u32>(points + lane, load<u16>(lists + numbersAt + 2 * (near * number + rank)))
    store<f32>(points + lane, 0.25 * f32x4.extract_lane(best, 0), 16)
  }
}
