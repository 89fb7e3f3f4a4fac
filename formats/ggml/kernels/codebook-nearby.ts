// The quicker encoder for the types with a codebook, signs and odd multiples of one scale (IQ2_S, IQ3): instead of all points it looks at
// those near the values. For each run of 16 or 32 values
//   1. take the signs, and guess the scale as if every value could have the nearest level;
//   2. find points at scales around that, and fit the scale to the best;
// then for the super-block find the common factor, and for each run
//   3. find points at the multiples of the factor that are nearest, and keep the best ones;
// and last fit the factor to what was chosen. Four runs are in the four lanes.
import { indices, multiples, takeSigns } from './codebook-block'
import { fitOddMultiples, freeScale, nearestOdd } from './codebook-scale'
import { toHalf } from './factor'
import { halfToFloat } from './half'
import { add, divide, mul, pick, splat, values, weights } from './lanes'
import { loadSuperBlock } from './load'
import { findNear } from './near-points'
import { findOfThree } from './ternary-search'

/** Wanted scale of each run and how sharp it is, up to 16 f32. */
const scales = memory.data(64, 16)
const curvatures = memory.data(64, 16)
/** One over the scale that is tried; for each of up to 8 groups of four runs, the points found with it and their errors. */
const inverse = memory.data(16, 16)
const found = memory.data(256, 16)
/** The best points of four runs so far, a vector for each group, and their error. */
const points = memory.data(128, 16)
const errors = memory.data(16, 16)
/** Sums of w x g and w g^2 over the chosen points g of each of four runs. */
const sumsXG = memory.data(16, 16)
const sumsGG = memory.data(16, 16)

/** Finds points for four runs at a scale; where the error is smaller than before they are kept, with the multiple. */
// @ts-ignore: decorator
@inline
function tryScale(
  at: usize, n: usize, dimensions: usize, levels: usize, lists: usize, codebook: usize, count: u32, scale: v128, multiple: v128,
  multipleAt: usize,
): void {
  // Bounded for values that no half reaches: their squares stay finite.
  v128.store(inverse, f32x4.pmin(f32x4.div(splat(1), scale), splat(1.0995116e12)))
  const groups: usize = n / dimensions
  let error = splat(0)
  for (let group: usize = 0; group < groups; group++) {
    const x = values + at + 16 * dimensions * group, w = weights + at + 16 * dimensions * group, to = found + 32 * group
    if (dimensions == 8) findOfThree(x, w, inverse, levels, codebook, count, to)
    else findNear(x, w, inverse, lists, 16, to)
    error = add(error, v128.load(to, 16))
  }
  error = mul(error, mul(scale, scale))
  const better = f32x4.lt(error, v128.load(errors))
  v128.store(errors, pick(better, error, v128.load(errors)))
  v128.store(multipleAt, pick(better, multiple, v128.load(multipleAt)))
  for (let group: usize = 0; group < groups; group++) {
    v128.store(points + 16 * group, pick(better, v128.load(found + 32 * group), v128.load(points + 16 * group)))
  }
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

/**
 * Chooses signs, points and multiples for 256 values. The points were numbered or listed before.
 * @param n values in a run that shares a scale: 16 or 32.
 * @param dimensions values of a point: 8 (three levels, as IQ2) or 4 (eight levels, as IQ3).
 * @param lists see near-points.ts; for dimensions = 4.
 * @param even whether each eight has an even number of signs.
 * @param sigmaFactor of the weights, see load.ts.
 * @param guesses scales to find points at, the first `firstGuess` times the guessed one, each `guessStep` times that more.
 * @param tried multiples of the factor to find points at.
 * @returns the factor, as the bits of a half; 0 where all values are as good as zero.
 */
// @ts-ignore: decorator
@inline
export function encodeNearby(
  source: usize, importance: usize, n: usize, dimensions: usize, levels: usize, lists: usize, codebook: usize, count: u32, even: bool,
  sigmaFactor: f32, guesses: i32, firstGuess: f32, guessStep: f32, tried: i32,
): u32 {
  const normal = loadSuperBlock(source, importance, n, sigmaFactor)
  if (normal == 0) return 0
  takeSigns(even)
  const groups: usize = n / dimensions, quads: usize = 64 / n
  for (let quad: usize = 0; quad < quads; quad++) {
    const at: usize = 16 * n * quad
    v128.store(errors, splat(Infinity))
    const free = freeScale(at, n, dimensions == 4)
    for (let guess = 0; guess < guesses; guess++) {
      const scale = mul(free, splat(firstGuess + guessStep * <f32>guess))
      tryScale(at, n, dimensions, levels, lists, codebook, count, scale, splat(1), multiples)
    }
    sumPoints(at, n, dimensions, levels, codebook)
    v128.store(scales + 16 * quad, divide(v128.load(sumsXG), v128.load(sumsGG)))
    v128.store(curvatures + 16 * quad, v128.load(sumsGG))
  }
  const half = toHalf(fitOddMultiples(scales, curvatures, 4 * quads, 16) / normal)
  if (half == 0) return 0
  const unit = splat(halfToFloat(half) * normal)
  let p: f32 = 0, q: f32 = 0
  for (let quad: usize = 0; quad < quads; quad++) {
    const at: usize = 16 * n * quad, scale = v128.load(scales + 16 * quad), multipleAt = multiples + 16 * quad
    const near = nearestOdd(f32x4.div(scale, unit), 31)
    const aside = pick(f32x4.gt(scale, mul(near, unit)), splat(2), splat(-2))
    v128.store(errors, splat(Infinity))
    let multiple = near, step = aside
    for (let k = 0; k < tried; k++) {
      tryScale(at, n, dimensions, levels, lists, codebook, count, mul(multiple, unit), multiple, multipleAt)
      // One to the side of the wanted scale, one to the other side, the second to the first side, and so on.
      multiple = f32x4.pmin(f32x4.pmax(add(multiple, step), splat(1)), splat(31))
      step = f32x4.neg(add(step, pick(f32x4.gt(step, splat(0)), splat(2), splat(-2))))
    }
    sumPoints(at, n, dimensions, levels, codebook)
    for (let lane: usize = 0; lane < 16; lane += 4) {
      const multiple = load<f32>(multipleAt + lane)
      p += multiple * load<f32>(sumsXG + lane)
      q += multiple * multiple * load<f32>(sumsGG + lane)
      for (let group: usize = 0; group < groups; group++) {
        store<u16>(indices + 2 * ((4 * quad + (lane >> 2)) * groups + group), load<u16>(points + 16 * group + lane))
      }
    }
  }
  // Among subnormal halves the steps are large, and the choice was made for this one.
  if (half < 0x400) return half
  const refit = p / (q * normal)
  return refit > 0 ? toHalf(refit) : half
}
