/**
 * The largest |x|; NaN or infinity where there is one. By the bits: without their sign, floats are in the order of the integers that
 * their bits are, infinity and NaN last.
 */
export function largestMagnitude(values: Float32Array): number {
  const bits = new Int32Array(values.buffer, values.byteOffset, values.length)
  // Four maxima side by side: one alone would wait for itself at every step.
  let [a, b, c, d] = [0, 0, 0, 0]
  const whole = bits.length - (bits.length % 4)
  for (let i = 0; i < whole; i += 4) {
    a = Math.max(a, (bits[i] as number) & 0x7fffffff)
    b = Math.max(b, (bits[i + 1] as number) & 0x7fffffff)
    c = Math.max(c, (bits[i + 2] as number) & 0x7fffffff)
    d = Math.max(d, (bits[i + 3] as number) & 0x7fffffff)
  }
  for (let i = whole; i < bits.length; i++) a = Math.max(a, (bits[i] as number) & 0x7fffffff)
  return new Float32Array(Int32Array.of(Math.max(a, b, c, d)).buffer)[0] as number
}
