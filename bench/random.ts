/** A sequence of 32-bit integers that a seed determines (mulberry32, Tommy Ettinger, public domain). */
export function integers(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
}

/** Uniform values of the open interval from 0 to 1. */
export function uniforms(seed: number): () => number {
  const next = integers(seed)
  return () => (next() + 0.5) / 2 ** 32
}

/** Values of mean 0 and variance 1 (Box and Muller). */
export function gaussian(length: number, seed: number): Float32Array {
  const next = uniforms(seed)
  return Float32Array.from({ length }, () => Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next()))
}

/** Values of Student's t with 4 degrees of freedom (Bailey 1994): heavy tails, as outliers of real weights. */
export function studentT4(length: number, seed: number): Float32Array {
  const next = uniforms(seed)
  return Float32Array.from({ length }, () => {
    const u = next()
    return Math.sqrt(4 * (u ** -0.5 - 1)) * Math.cos(2 * Math.PI * next())
  })
}
