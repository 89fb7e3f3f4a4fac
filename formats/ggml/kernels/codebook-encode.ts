// The encoder of the types with a codebook, signs and odd multiples of one scale (IQ2, IQ3): it looks for what to store; their own files
// store it. For each run of 16 or 32 values
//   1. take the signs, so that magnitudes remain (where the format keeps an even number of signs, the cheapest value changes its);
//   2. guess the scale as if every value could have the nearest level, find points at scales around it, and fit the scale to the best;
// then for the super-block find the common factor, and for each run
//   3. find points at the multiples of the factor that are nearest, and keep the best ones;
// and last fit the factor to what was chosen. Steps 3 and 4 may be done over with other factors. Four runs are in the four lanes.
import { beginRounds, indices, keepRound, multiples, takeSigns, triedIndices, triedMultiples } from './codebook-block'
import { addLowest, fillLines, findLowest, lineBytes, linesAt } from './codebook-search'
import { fitOddMultiples, freeScale, interpolate, nearestOdd } from './codebook-scale'
import { nextFactor, shrinkageCorrectedFactor, toHalf } from './factor'
import { halfToFloat } from './half'
import { add, divide, mul, pick, splat, values, weights } from './lanes'
import { loadSuperBlock, weighedSquares } from './load'
import { findNear } from './near-points'
import { scratch } from './scratch'
import { findOfThree } from './ternary-search'

/** How points are found: four values by lists of near points; eight values by cheap changes, or by a look at all points. */
export const NEAR: i32 = 0
export const CHANGES: i32 = 1
export const ALL: i32 = 2

/** Wanted scale of each run and how sharp it is, up to 16 f32. */
const scales = memory.data(64, 16)
const curvatures = memory.data(64, 16)
/** The scale that is tried, or one over it; for each of up to 8 groups of four runs, the points found with it and their errors. */
const trial = memory.data(16, 16)
const found = memory.data(256, 16)
/** The best points of four runs so far, a vector for each group, and their error. */
const points = memory.data(128, 16)
const errors = memory.data(16, 16)
/** Sums of w x g and w g^2 over the chosen points g of each of four runs. */
const sumsXG = memory.data(16, 16)
const sumsGG = memory.data(16, 16)
/** Four scales to try, and the sums of the lowest lines at them. */
const trials = memory.data(64, 16)
const sums = memory.data(64, 16)

/** Finds points for four runs at a scale; where the error is smaller than before they are kept, with the multiple. */
// @ts-ignore: decorator
@inline
function tryScale(
  kind: i32, quad: usize, n: usize, levels: usize, lists: usize, codebook: usize, count: u32, breadth: usize,
  scale: v128, multiple: v128, multipleAt: usize,
): void {
  const dimensions: usize = kind == NEAR ? 4 : 8
  const at: usize = 16 * n * quad, groups: usize = n / dimensions
  // Bounded for values that no half reaches: their squares stay finite.
  v128.store(trial, kind == ALL ? scale : f32x4.pmin(f32x4.div(splat(1), scale), splat(1.0995116e12)))
  let error = splat(0)
  for (let group: usize = 0; group < groups; group++) {
    const x = values + at + 16 * dimensions * group, w = weights + at + 16 * dimensions * group, to = found + 32 * group
    if (kind == NEAR) findNear(x, w, trial, lists, breadth, to)
    else if (kind == CHANGES) findOfThree(x, w, trial, levels, codebook, count, to)
    else findLowest(linesOf(quad * groups + group, count), count, trial, to)
    error = add(error, v128.load(to, 16))
  }
  error = mul(error, kind == ALL ? scale : mul(scale, scale))
  const better = f32x4.lt(error, v128.load(errors))
  v128.store(errors, pick(better, error, v128.load(errors)))
  v128.store(multipleAt, pick(better, multiple, v128.load(multipleAt)))
  for (let group: usize = 0; group < groups; group++) {
    v128.store(points + 16 * group, pick(better, v128.load(found + 32 * group), v128.load(points + 16 * group)))
  }
}

/** Where the lines of four groups' points are: see codebook-search.ts. */
// @ts-ignore: decorator
@inline
function linesOf(group: usize, count: u32): usize {
  return scratch() + linesAt + lineBytes * <usize>count * group
}

/** Fills the sums of the chosen points of four runs. */
// @ts-ignore: decorator
@inline
function sumPoints(at: usize, n: usize, dimensions: usize, levels: usize, codebook: usize): void {
  const bits: u32 = dimensions == 8 ? 2 : 3
  for (let lane: usize = 0; lane < 16; lane += 4) {
    let xg: f32 = 0, gg: f32 = 0
    for (let group: usize = 0; group < n / dimensions; group++) {
      let packed = <u32>load<u16>(codebook + 2 * <usize>load<u32>(points + 16 * group + lane))
      const from = at + 16 * dimensions * group + lane
      for (let i = from; i < from + 16 * dimensions; i += 16) {
        const level = load<f32>(levels + 4 * <usize>(packed & ((1 << bits) - 1))), weighed = load<f32>(weights + i) * level
        xg += weighed * load<f32>(values + i)
        gg += weighed * level
        packed >>= bits
      }
    }
    store<f32>(sumsXG + lane, xg)
    store<f32>(sumsGG + lane, gg)
  }
}

/** Writes four scales around the middle one, each `ratio` times the one before; returns the first. */
// @ts-ignore: decorator
@inline
function setTrials(middle: v128, first: f32, ratio: f32): v128 {
  const least = mul(middle, splat(first))
  let scale = least
  for (let i: usize = 0; i < 64; i += 16) {
    v128.store(trials + i, scale)
    v128.store(sums + i, splat(0))
    scale = mul(scale, splat(ratio))
  }
  return least
}

/** The wanted scales of four runs, from the lowest lines at four scales, and at four more that are nearer if `sharp`. */
// @ts-ignore: decorator
@inline
function wantScaleOfAll(quad: usize, n: usize, levels: usize, codebook: usize, count: u32, sharp: bool): void {
  const at: usize = 16 * n * quad, groups: usize = n >> 3
  const first = setTrials(freeScale(at, n, false), 0.82, 1.16)
  for (let group: usize = 0; group < groups; group++) {
    const x = values + at + 128 * group, w = weights + at + 128 * group
    fillLines(x, w, levels, codebook, count, linesOf(quad * groups + group, count), trials, sums)
  }
  interpolate(first, 1.16, sums, scales + 16 * quad, curvatures + 16 * quad)
  if (!sharp) return
  const nearer = setTrials(f32x4.pmax(v128.load(scales + 16 * quad), splat(1e-7)), 0.9163, 1.06)
  for (let group: usize = 0; group < groups; group++) addLowest(linesOf(quad * groups + group, count), count, trials, sums)
  interpolate(nearer, 1.06, sums, scales + 16 * quad, curvatures + 16 * quad)
}

/**
 * Chooses signs, points and multiples for 256 values. The points were numbered (CHANGES) or listed (NEAR) before.
 * @param kind how points are found.
 * @param n values in a run that shares a scale: 16 or 32.
 * @param lists see near-points.ts; `breadth`: how many points of a list to look at. For NEAR.
 * @param even whether each eight has an even number of signs.
 * @param sigmaFactor of the weights, see load.ts.
 * @param guesses scales to find points at in step 2, evenly from 1 - spread to 1 + spread times the guessed one. For ALL: 1, or 2 for more.
 * @param tried multiples of the factor to find points at. @param rounds factors to do so with.
 * @returns the factor, as the bits of a half; 0 where all values are as good as zero.
 */
// @ts-ignore: decorator
@inline
export function encodeCodebook(
  source: usize, importance: usize, kind: i32, n: usize, levels: usize, codebook: usize, count: u32, lists: usize, breadth: usize,
  even: bool, sigmaFactor: f32, guesses: i32, spread: f32, tried: i32, rounds: i32,
): u32 {
  const normal = loadSuperBlock(source, importance, n, sigmaFactor)
  if (normal == 0) return 0
  takeSigns(even)
  const dimensions: usize = kind == NEAR ? 4 : 8
  const groups: usize = n / dimensions, quads: usize = 64 / n
  for (let quad: usize = 0; quad < quads; quad++) {
    if (kind == ALL) {
      wantScaleOfAll(quad, n, levels, codebook, count, guesses > 1)
      continue
    }
    const at: usize = 16 * n * quad, free = freeScale(at, n, dimensions == 4)
    v128.store(errors, splat(Infinity))
    for (let guess = 0; guess < guesses; guess++) {
      const aside: f32 = guesses == 1 ? 0 : spread * (2 * <f32>guess / <f32>(guesses - 1) - 1)
      tryScale(kind, quad, n, levels, lists, codebook, count, breadth, mul(free, splat(1 + aside)), splat(1), triedMultiples)
    }
    sumPoints(at, n, dimensions, levels, codebook)
    v128.store(scales + 16 * quad, divide(v128.load(sumsXG), v128.load(sumsGG)))
    v128.store(curvatures + 16 * quad, v128.load(sumsGG))
  }

  const first = toHalf(fitOddMultiples(scales, curvatures, 4 * quads, 16) / normal)
  if (first == 0) return 0
  beginRounds()
  let half = first
  for (let round = 0; round < rounds; round++) {
    const factor = round == 0 ? halfToFloat(first) : nextFactor(round, halfToFloat(first), halfToFloat(half))
    const unit = splat(factor * normal)
    let p: f32 = 0, q: f32 = 0
    for (let quad: usize = 0; quad < quads; quad++) {
      const at: usize = 16 * n * quad, scale = v128.load(scales + 16 * quad), multipleAt = triedMultiples + 16 * quad
      let multiple = nearestOdd(f32x4.div(scale, unit), 31)
      let step = pick(f32x4.gt(scale, mul(multiple, unit)), splat(2), splat(-2))
      v128.store(errors, splat(Infinity))
      for (let k = 0; k < tried; k++) {
        tryScale(kind, quad, n, levels, lists, codebook, count, breadth, mul(multiple, unit), multiple, multipleAt)
        // One to the side of the wanted scale, one to the other side, the second to the first side, and so on.
        multiple = f32x4.pmin(f32x4.pmax(add(multiple, step), splat(1)), splat(31))
        step = f32x4.neg(add(step, pick(f32x4.gt(step, splat(0)), splat(2), splat(-2))))
      }
      sumPoints(at, n, dimensions, levels, codebook)
      for (let lane: usize = 0; lane < 16; lane += 4) {
        const chosen = load<f32>(multipleAt + lane)
        p += chosen * load<f32>(sumsXG + lane)
        q += chosen * chosen * load<f32>(sumsGG + lane)
        for (let group: usize = 0; group < groups; group++) {
          store<u16>(triedIndices + 2 * ((4 * quad + (lane >> 2)) * groups + group), load<u16>(points + 16 * group + lane))
        }
      }
    }
    if (!keepRound(p / q * p)) continue
    // Among subnormal halves the steps are large, and the choice was made for this one.
    if (half < 0x400) return half
    if (p > 0) half = toHalf(shrinkageCorrectedFactor(p, q, weighedSquares()) / normal)
  }
  return half
}
