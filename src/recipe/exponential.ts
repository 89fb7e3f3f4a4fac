const f32 = Math.fround

/** a * b + c, rounded once: the product of two f32 is exact in a double. */
const fused = (a: number, b: number, c: number): number => f32(a * b + c)

const log2e = f32(Math.LOG2E)
/** The logarithm of 2 in two parts, the first of few bits. */
const [ln2High, ln2Low] = [f32(0.693145751953125), f32(1.428606765330187e-6)]
const coefficients = [
  0.000198527617612853646, 0.00139304355252534151, 0.00833336077630519867, 0.0416664853692054749, 0.16666667163372039795, 0.5,
].map(f32) as [number, ...number[]]

/**
 * The exponential of an f32 as torch computes it, to the bit and on any machine; within 1 ulp of the true one.
 * Source: Sleef_expf_u10 of SLEEF 3 with fused multiplications, which torch's Vectorized<float>::exp calls.
 */
export function exponential(value: number): number {
  if (!(value > -104)) return Number.isNaN(value) ? value : 0
  if (value > 104) return Number.POSITIVE_INFINITY
  const exponent = roundToEven(f32(value * log2e))
  const rest = fused(exponent, -ln2Low, fused(exponent, -ln2High, value))
  const [first, ...others] = coefficients
  const polynomial = others.reduce((sum, coefficient) => fused(sum, rest, coefficient), first)
  return f32(f32(1 + fused(f32(rest * rest), polynomial, rest)) * 2 ** exponent)
}

function roundToEven(value: number): number {
  const floor = Math.floor(value)
  const part = value - floor
  if (part !== 0.5) return part < 0.5 ? floor : floor + 1
  return floor % 2 === 0 ? floor : floor + 1
}
