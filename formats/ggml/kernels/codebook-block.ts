// What the codebook encoders choose for a super-block of 256 values: signs, points, and odd multiples of the common factor.
import { mul, splat, values, weights } from './lanes'

/** Odd multiples of the factor: the chosen one of each run, f32. */
export const multiples = memory.data(64, 16)
/** Bits of eight signs: u32, one for each eight of each run, four runs in the lanes. */
export const signs = memory.data(128, 16)
/** Chosen points, u16, in the order of the values. */
export const indices = memory.data(128, 16)

/** The same in a round that is not decided yet. */
export const triedMultiples = memory.data(64, 16)
export const triedIndices = memory.data(128, 16)

/** What the best round so far explains of the squares. */
let bestGain: f32 = -1

/** Forgets the super-block before. */
// @ts-ignore: decorator
@inline
export function beginRounds(): void {
  bestGain = -1
}

/** Lets what was tried be the choice if it gains more than the rounds before, or if there were none. */
// @ts-ignore: decorator
@inline
export function keepRound(gain: f32): bool {
  if (gain <= bestGain) return false
  bestGain = gain > 0 ? gain : 0
  memory.copy(multiples, triedMultiples, 64)
  memory.copy(indices, triedIndices, 128)
  return true
}

/** The chosen point of group `i` of the super-block. */
// @ts-ignore: decorator
@inline
export function pointOf(i: usize): u32 { return load<u16>(indices + 2 * i) }
// @ts-ignore: decorator
@inline
export function setPoint(i: usize, point: u32): void { store<u16>(indices + 2 * i, point) }
/** The code of run `i`'s scale: (multiple - 1) / 2. */
// @ts-ignore: decorator
@inline
export function scaleOf(i: usize): u32 { return <u32>load<f32>(multiples + 4 * i) >> 1 }
// @ts-ignore: decorator
@inline
export function setScale(i: usize, code: f32): void { store<f32>(multiples + 4 * i, 2 * code + 1) }
/** The signs of values 8 i to 8 i + 7 of the super-block, for runs of n. */
// @ts-ignore: decorator
@inline
export function signsOf(i: usize, n: usize): u32 { return load<u32>(placeOfSigns(i, n)) }
// @ts-ignore: decorator
@inline
export function setSigns(i: usize, n: usize, bits: u32): void { store<u32>(placeOfSigns(i, n), bits) }

// @ts-ignore: decorator
@inline
function placeOfSigns(i: usize, n: usize): usize {
  const eights = n >> 3, run = i / eights
  return signs + 16 * ((run >> 2) * eights + i % eights) + 4 * (run & 3)
}

/** Leaves the magnitudes of a super-block's values and notes their signs; an even number of them for each eight if `even`. */
export function takeSigns(even: bool): void {
  for (let i: usize = 0; i < 8; i++) takeEightSigns(values + 128 * i, weights + 128 * i, even, signs + 16 * i)
}

/** Leaves the magnitudes of eight vectors of values and writes their signs, bit i of vector i; an even number in each lane if `even`. */
export function takeEightSigns(valuesAt: usize, weightsAt: usize, even: bool, to: usize): void {
  let parity = i32x4.splat(0), cheapest = splat(f32.MAX_VALUE)
  for (let i: usize = 0; i < 128; i += 16) {
    const x = v128.load(valuesAt + i)
    parity = v128.xor(parity, x)
    cheapest = f32x4.pmin(cheapest, mul(v128.load(weightsAt + i), f32x4.abs(x)))
  }
  let odd = even ? i32x4.shr_s(parity, 31) : i32x4.splat(0)
  let bits = i32x4.splat(0)
  for (let i: usize = 0; i < 8; i++) {
    const x = v128.load(valuesAt + 16 * i), magnitude = f32x4.abs(x)
    const flip = v128.and(odd, f32x4.eq(mul(v128.load(weightsAt + 16 * i), magnitude), cheapest))
    odd = v128.andnot(odd, flip)
    const sign = v128.xor(i32x4.shr_u(x, 31), i32x4.shr_u(flip, 31))
    bits = v128.or(bits, i32x4.shl(sign, <i32>i))
    // Against its sign the value counts as negative.
    v128.store(valuesAt + 16 * i, v128.or(magnitude, i32x4.shl(flip, 31)))
  }
  v128.store(to, bits)
}
