/**
 * The probability that a Student's t with `degrees` of freedom lies between -t and t; 0 without any.
 * Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
 */
export function studentConfidence(t: number, degrees: number): number {
  if (degrees < 1) return 0
  const angle = Math.atan(t / Math.sqrt(degrees))
  const cosine = Math.cos(angle)
  const isOdd = degrees % 2 === 1
  let term = isOdd ? cosine : 1
  let sum = degrees === 1 ? 0 : term
  for (let power = isOdd ? 3 : 2; power <= degrees - 2; power += 2) {
    term *= ((power - 1) / power) * cosine * cosine
    sum += term
  }
  return isOdd ? (2 / Math.PI) * (angle + Math.sin(angle) * sum) : Math.sin(angle) * sum
}

/** The t below which a Student's t lies with probability `confidence`, one-sided, 0.5 to 1; infinite without a degree of freedom. */
export function studentBound(confidence: number, degrees: number): number {
  if (degrees < 1) return Number.POSITIVE_INFINITY
  const twoSided = 2 * confidence - 1
  let [low, high] = [0, 1]
  while (studentConfidence(high, degrees) < twoSided) high *= 2
  for (let step = 0; step < 60; step += 1) {
    const middle = (low + high) / 2
    if (studentConfidence(middle, degrees) < twoSided) low = middle
    else high = middle
  }
  return high
}
