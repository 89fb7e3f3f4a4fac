import { expect, test } from 'vitest'
import { openProducts } from '../../../formats/ggml/products.js'

const products = await openProducts()

/** Rows of small whole numbers: their sums are exact in any order. */
function rowsOf(count: number, columns: number) {
  const gap = 3
  const values = Float32Array.from({ length: count * (columns + gap) }, (_, i) => ((i * 7919) % 17) - 8)
  return { values, starts: Array.from({ length: count }, (_, row) => row * (columns + gap)) }
}

test.each([
  [1, 32],
  [5, 40],
  [515, 64],
])('%d rows of %d: the sum of x x^T is exact, and is added', (count, columns) => {
  const { values, starts } = rowsOf(count, columns)
  const sums = new Float32Array((columns * (columns + 1)) / 2).fill(1)
  products.addSquare({ values, starts }, columns, sums)
  let at = 0
  for (let i = 0; i < columns; i += 1) {
    for (let j = i; j < columns; j += 1) {
      const expected = starts.reduce((sum, start) => sum + (values[start + i] as number) * (values[start + j] as number), 1)
      expect(sums[at]).toBe(expected)
      at += 1
    }
  }
})

test.each([
  [1, 32, 8],
  [7, 48, 16],
  [514, 32, 24],
])('%d rows of %d: the sum of x (x^T W) is exact for %d columns of W', (count, columns, width) => {
  const { values, starts } = rowsOf(count, columns)
  const matrix = Float32Array.from({ length: columns * width }, (_, i) => ((i * 31) % 3) - 1)
  const sums = new Float32Array(columns * width).fill(-2)
  products.addSketch({ values, starts }, columns, matrix, sums)
  const expected = new Float64Array(columns * width).fill(-2)
  for (const start of starts) {
    for (let c = 0; c < width; c += 1) {
      let dot = 0
      for (let i = 0; i < columns; i += 1) dot += (values[start + i] as number) * (matrix[i * width + c] as number)
      for (let i = 0; i < columns; i += 1) {
        expected[i * width + c] = (expected[i * width + c] as number) + (values[start + i] as number) * dot
      }
    }
  }
  expect(sums).toEqual(Float32Array.from(expected))
})
