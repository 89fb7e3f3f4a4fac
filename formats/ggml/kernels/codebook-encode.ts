// The encoder that IQ2_XXS and IQ2_XS share: it looks for what to store; their own file stores it. For each run of 16 or 32 values
//   1. take the signs, so that magnitudes remain (where the format keeps an even number of signs, the cheapest value changes its);
//   2. guess the scale from the values alone, try the whole codebook at scales around it, and interpolate;
// then for the super-block find the common factor, and for each run
//   3. try the whole codebook at the two multiples of the factor that are nearest, and keep the better one with its points;
// and last fit the factor to what was chosen. Four runs are in the four lanes.
import { indices, multiples, takeSigns } from './codebook-block'
import { addLowest, fillLinesOfEight, findLowest, lineBytes, linesAt } from './codebook-search'
import { fitOddMultiples, freeScale, interpolate, nearestOdd } from './codebook-scale'
import { floatToHalf, halfToFloat } from './half'
import { add, mul, pick, splat, total, values, weights } from './lanes'
import { loadSuperBlock } from './load'
import { scratch } from './scratch'

/** Best scale of each run and how sharp it is, up to 16 f32. */
const scales = memory.data(64, 16)
const curvatures = memory.data(64, 16)
/** Four scales to try, and the sums of the lowest lines at them. */
const trials = memory.data(64, 16)
const sums = memory.data(64, 16)
/** Lowest lines at two scales, for each of up to 8 groups of a run. */
const found = memory.data(256, 16)
const lanes = memory.data(16, 16)

/** Writes scales around the middle one, each `ratio` times the one before; returns the first. */
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

/**
 * Chooses signs, points and multiples for 256 values.
 * @param n values in a run that shares a scale: 16 or 32.
 * @param count points: a power of two.
 * @param sigmaFactor of the weights, see load.ts.
 * @param sharp whether to spend another pass on the scales.
 * @returns the factor, as the bits of a half; 0 where all values are as good as zero.
 */
// @ts-ignore: decorator
@inline
export function encodeCodebook(
  source: usize, importance: usize, n: usize, levels: usize, points: usize, count: usize,
  sigmaFactor: f32, sharp: bool,
): u32 {
  const normal = loadSuperBlock(source, importance, n, sigmaFactor)
  if (normal == 0) return 0
  takeSigns(true)

  const groups: usize = n >> 3, quads: usize = 64 / n
  const bytesOfLines: usize = lineBytes * count
  for (let quad: usize = 0; quad < quads; quad++) {
    const at: usize = 16 * n * quad, lines = scratch() + linesAt + bytesOfLines * groups * quad
    const first = setTrials(freeScale(at, n, false), 0.82, 1.16)
    for (let group: usize = 0; group < groups; group++) {
      const x = values + at + 128 * group, w = weights + at + 128 * group
      const to = lines + bytesOfLines * group
      fillLinesOfEight(x, w, levels, points, count, to, trials, sums)
    }
    interpolate(first, 1.16, sums, scales + 16 * quad, curvatures + 16 * quad)
    if (sharp) {
      const nearer = setTrials(f32x4.pmax(v128.load(scales + 16 * quad), splat(1e-7)), 0.9163, 1.06)
      for (let group: usize = 0; group < groups; group++) addLowest(lines + bytesOfLines * group, count, trials, sums)
      interpolate(nearer, 1.06, sums, scales + 16 * quad, curvatures + 16 * quad)
    }
  }

  const half = floatToHalf(min<f32>(fitOddMultiples(scales, curvatures, 4 * quads, 16) / normal, 65504))
  if (half == 0) return 0
  const unit = splat(halfToFloat(half) * normal)
  let p = splat(0), q = splat(0)
  for (let quad: usize = 0; quad < quads; quad++) {
    const lines = scratch() + linesAt + bytesOfLines * groups * quad
    const scale = v128.load(scales + 16 * quad)
    const near = nearestOdd(f32x4.div(scale, unit), 31)
    const aside = pick(f32x4.gt(scale, mul(near, unit)), splat(2), splat(-2))
    const next = f32x4.pmin(f32x4.pmax(add(near, aside), splat(1)), splat(31))
    v128.store(trials, mul(near, unit))
    v128.store(trials, mul(next, unit), 16)
    let lowNear = splat(0), lowNext = splat(0)
    for (let group: usize = 0; group < groups; group++) {
      findLowest(lines + bytesOfLines * group, count, trials, found + 32 * group)
      lowNear = add(lowNear, v128.load(found + 32 * group, 0))
      lowNext = add(lowNext, v128.load(found + 32 * group, 16))
    }
    const stay = f32x4.le(mul(lowNear, v128.load(trials)), mul(lowNext, v128.load(trials, 16)))
    const multiple = pick(stay, near, next)
    v128.store(multiples + 16 * quad, multiple)
    for (let group: usize = 0; group < groups; group++) {
      const lowest = pick(stay, v128.load(found + 32 * group, 0), v128.load(found + 32 * group, 16))
      v128.store(lanes, v128.and(lowest, i32x4.splat(<i32>count - 1)))
      let pOfChosen = splat(0), qOfChosen = splat(0)
      for (let lane: usize = 0; lane < 4; lane++) {
        const index = load<u32>(lanes + 4 * lane)
        store<u16>(indices + 2 * ((4 * quad + lane) * groups + group), <u16>index)
        const mask = i32x4.eq(i32x4(0, 1, 2, 3), i32x4.splat(<i32>lane))
        const line = lines + bytesOfLines * group + lineBytes * index
        pOfChosen = v128.or(pOfChosen, v128.and(mask, v128.load(line, 0)))
        qOfChosen = v128.or(qOfChosen, v128.and(mask, v128.load(line, 16)))
      }
      p = add(p, mul(multiple, pOfChosen))
      q = add(q, mul(mul(multiple, multiple), qOfChosen))
    }
  }
  // Among subnormal halves the steps are large, and the choice was made for this one.
  if (half < 0x400) return half
  const refit = total(p) / (2 * total(q) * normal)
  return refit > 0 ? floatToHalf(min<f32>(refit, 65504)) : half
}
