import { type LinearAlgebra, plainLinearAlgebra } from '../../formats/ggml/linear-algebra.js'
import { symmetricEigen } from './symmetric-eigen.js'

/** Directions weaker than this, against the strongest, are the rounding of sums in single precision. */
const weakest = 1e-6

/**
 * A covariance H from its sketch S = H W, W of random signs: H ~ S (W^T S)^-1 S^T, of which the k strongest directions are kept, and the
 * diagonal of the rest. Nystroem's approximation never exceeds H, so that the rest has no negative diagonal but by rounding.
 * Source: Halko, Martinsson, Tropp 2011, section 5.5; Tropp, Yurtsever, Udell, Cevher 2017.
 * @param sketch [n][width]. @param signs W, [n][width]. @param diagonal of H. @param rank k, at most `width`.
 * @param algebra by default without kernels, which takes longer.
 * @returns H ~ diagonal + factors^T factors; factors are rows of n, strongest first, and fewer than k where H has no more.
 */
export function nystrom(
  sketch: ArrayLike<number>,
  signs: Float32Array,
  diagonal: Float64Array,
  rank: number,
  algebra: LinearAlgebra = plainLinearAlgebra,
): { diagonal: Float64Array; factors: Float64Array } {
  const n = diagonal.length
  const width = sketch.length / n
  const s = sketch instanceof Float64Array ? sketch : new Float64Array(sketch)
  const core = symmetricProduct(signs, s, n, width, algebra)
  const { values, vectors } = symmetricEigen(core, width, algebra)
  const strong = values.findIndex((value) => !(value > weakest * (values[0] as number)))
  const kept = strong < 0 ? width : strong
  // rows of R: eigenvectors over the roots of their values, so that H ~ (S R^T) (S R^T)^T
  const roots = vectors.slice(0, kept * width)
  for (let at = 0; at < roots.length; at += 1) {
    roots[at] = (roots[at] as number) / Math.sqrt(values[Math.floor(at / width)] as number)
  }
  const gram = symmetricProduct(s, s, n, width, algebra)
  const half = timesTransposed(roots, gram, { rows: kept, columns: width, depth: width }, algebra)
  const inside = timesTransposed(half, roots, { rows: kept, columns: kept, depth: width }, algebra)
  const count = Math.min(rank, kept)
  const turned = symmetricEigen(inside, kept, algebra).vectors.slice(0, count * kept)
  const mix = algebra.product(transpose(turned, count, kept), roots, { depth: kept, rows: count, columns: width })
  const factors = timesTransposed(mix, s, { rows: count, columns: n, depth: width }, algebra)
  const rest = Float64Array.from(diagonal)
  for (let at = 0; at < factors.length; at += 1) rest[at % n] = (rest[at % n] as number) - (factors[at] as number) ** 2
  return { diagonal: rest.map((value) => Math.max(value, 0)), factors }
}

/** A^T B of A and B, both [n][width], where it is symmetric. */
function symmetricProduct(a: ArrayLike<number>, b: Float64Array, n: number, width: number, algebra: LinearAlgebra): Float64Array {
  const c = algebra.product(a, b, { depth: n, rows: width, columns: width, half: true })
  for (let i = 0; i < width; i += 1) for (let j = 0; j < i; j += 1) c[i * width + j] = c[j * width + i] as number
  return c
}

/** Rows of B that are multiplied at once: it bounds what is held of their transpose. */
const rowsPerProduct = 512

/** A B^T of A, [rows][depth], and B, [columns][depth]. */
function timesTransposed(
  a: Float64Array,
  b: Float64Array,
  { rows, columns, depth }: { readonly rows: number; readonly columns: number; readonly depth: number },
  algebra: LinearAlgebra,
): Float64Array {
  const c = new Float64Array(rows * columns)
  const turned = transpose(a, rows, depth)
  for (let first = 0; first < columns; first += rowsPerProduct) {
    const count = Math.min(rowsPerProduct, columns - first)
    const part = transpose(b.subarray(first * depth, (first + count) * depth), count, depth)
    const found = algebra.product(turned, part, { depth, rows, columns: count })
    for (let row = 0; row < rows; row += 1) c.set(found.subarray(row * count, (row + 1) * count), row * columns + first)
  }
  return c
}

function transpose(matrix: Float64Array, rows: number, columns: number): Float64Array {
  const turned = new Float64Array(matrix.length)
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) turned[column * rows + row] = matrix[row * columns + column] as number
  }
  return turned
}
