import { symmetricEigen } from './symmetric-eigen.js'

/** Directions weaker than this, against the strongest, are the rounding of sums in single precision. */
const weakest = 1e-6

/**
 * A covariance H from its sketch S = H W, W of random signs: H ~ S (W^T S)^-1 S^T, of which the k strongest directions are kept, and the
 * diagonal of the rest. Nystroem's approximation never exceeds H, so that the rest has no negative diagonal but by rounding.
 * Source: Halko, Martinsson, Tropp 2011, section 5.5; Tropp, Yurtsever, Udell, Cevher 2017.
 * @param sketch [n][width]. @param signs W, [n][width]. @param diagonal of H. @param rank k, at most `width`.
 * @returns H ~ diagonal + factors^T factors; factors are rows of n, strongest first, and fewer than k where H has no more.
 */
export function nystrom(
  sketch: ArrayLike<number>,
  signs: Float32Array,
  diagonal: Float64Array,
  rank: number,
): { diagonal: Float64Array; factors: Float64Array } {
  const n = diagonal.length
  const width = sketch.length / n
  const s = sketch instanceof Float64Array ? sketch : new Float64Array(sketch)
  const core = products(signs, s, n, width)
  const { values, vectors } = symmetricEigen(core, width)
  const strong = values.findIndex((value) => !(value > weakest * (values[0] as number)))
  const kept = strong < 0 ? width : strong
  // rows of R: eigenvectors over the roots of their values, so that H ~ (S R^T) (S R^T)^T
  const roots = vectors.slice(0, kept * width)
  for (let at = 0; at < roots.length; at += 1) {
    roots[at] = (roots[at] as number) / Math.sqrt(values[Math.floor(at / width)] as number)
  }
  const gram = products(s, s, n, width)
  const inside = multiplyRows(multiplyRows(roots, gram, kept, width, width), roots, kept, kept, width)
  const count = Math.min(rank, kept)
  const turned = symmetricEigen(inside, kept).vectors.slice(0, count * kept)
  const mix = multiplyColumns(turned, roots, count, kept, width)
  const factors = multiplyRows(mix, s, count, n, width)
  const rest = Float64Array.from(diagonal)
  for (let at = 0; at < factors.length; at += 1) rest[at % n] = (rest[at % n] as number) - (factors[at] as number) ** 2
  return { diagonal: rest.map((value) => Math.max(value, 0)), factors }
}

/**
 * A^T B of A and B, both [n][width], where it is symmetric: half of it is worked out. Four rows at a time, since memory and not the
 * multiplier sets the pace.
 */
function products(a: Float32Array | Float64Array, b: Float64Array, n: number, width: number): Float64Array {
  const c = new Float64Array(width * width)
  const whole = n - (n % 4)
  for (let row = 0; row < n; row += row < whole ? 4 : 1) {
    const r0 = row * width
    const r1 = r0 + width
    const r2 = r1 + width
    const r3 = r2 + width
    for (let i = 0; i < width; i += 1) {
      const to = i * width
      const x0 = a[r0 + i] as number
      if (row >= whole) {
        for (let j = i; j < width; j += 1) c[to + j] = (c[to + j] as number) + x0 * (b[r0 + j] as number)
        continue
      }
      const x1 = a[r1 + i] as number
      const x2 = a[r2 + i] as number
      const x3 = a[r3 + i] as number
      for (let j = i; j < width; j += 1) {
        c[to + j] =
          (c[to + j] as number) +
          x0 * (b[r0 + j] as number) +
          x1 * (b[r1 + j] as number) +
          x2 * (b[r2 + j] as number) +
          x3 * (b[r3 + j] as number)
      }
    }
  }
  for (let i = 0; i < width; i += 1) for (let j = 0; j < i; j += 1) c[i * width + j] = c[j * width + i] as number
  return c
}

/** A B^T of A, [rows][depth], and B, [columns][depth]. */
function multiplyRows(a: Float64Array, b: Float64Array, rows: number, columns: number, depth: number): Float64Array {
  const c = new Float64Array(rows * columns)
  for (let i = 0; i < rows; i += 1) {
    for (let j = 0; j < columns; j += 1) {
      let sum = 0
      for (let k = 0; k < depth; k += 1) sum += (a[i * depth + k] as number) * (b[j * depth + k] as number)
      c[i * columns + j] = sum
    }
  }
  return c
}

/** A B of A, [rows][depth], and B, [depth][columns]. */
function multiplyColumns(a: Float64Array, b: Float64Array, rows: number, depth: number, columns: number): Float64Array {
  const c = new Float64Array(rows * columns)
  for (let i = 0; i < rows; i += 1) {
    for (let k = 0; k < depth; k += 1) {
      const x = a[i * depth + k] as number
      for (let j = 0; j < columns; j += 1)
        c[i * columns + j] = (c[i * columns + j] as number) + x * (b[k * columns + j] as number)
    }
  }
  return c
}
