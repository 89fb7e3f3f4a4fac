/** erf(x) by its series, to about 1e-13 for |x| < 4. */
function erf(x: number): number {
  let term = x
  let sum = x
  for (let n = 1; Math.abs(term) > 1e-18 && n < 200; n++) {
    term *= (-x * x) / n
    sum += term / (2 * n + 1)
  }
  return (2 / Math.sqrt(Math.PI)) * sum
}

/** The quantile of the normal distribution: how many deviations above the mean a share of all values lies. @param share from 0 to 1. */
export function normalQuantile(share: number): number {
  if (!(share > 0)) return Number.NEGATIVE_INFINITY
  if (share >= 1) return Number.POSITIVE_INFINITY
  let [low, high] = [-5.6, 5.6]
  for (let step = 0; step < 80; step++) {
    const middle = (low + high) / 2
    if ((1 + erf(middle / Math.SQRT2)) / 2 < share) low = middle
    else high = middle
  }
  return (low + high) / 2
}
