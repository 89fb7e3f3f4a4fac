import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { rowRangesOf, sampleTensor } from '../../../src/engine/row-ranges.js'
import type { BlueprintTensor } from '../../../src/model/blueprint.js'
import { plain, preferredRowStep, type Shape, stack, transpose } from '../../../src/recipe/index.js'

function tensorOf(shape: Shape, form: 'plain' | 'stacked' | 'transposed'): BlueprintTensor {
  const bytes = 4 * shape.reduce((product, size) => product * size, 1)
  const entry = shape.slice(1)
  const experts = shape[0] ?? 1
  const recipe =
    form === 'plain'
      ? plain('F32', { file: 0, start: 0, end: bytes }, shape)
      : form === 'transposed'
        ? transpose(
            plain('F32', { file: 0, start: 0, end: bytes }, [...shape.slice(0, -2), shape.at(-1) ?? 1, shape.at(-2) ?? 1]),
          )
        : stack(
            Array.from({ length: experts }, (_, expert) =>
              plain('F32', { file: 0, start: (expert * bytes) / experts, end: ((expert + 1) * bytes) / experts }, entry),
            ),
          )
  return { name: 'a.weight', shape, role: 'ffn-up', keepF32: false, recipe }
}

const size = fc.integer({ min: 1, max: 40 })
const anyTensor = fc.oneof(
  fc.tuple(size, size).map((shape) => tensorOf(shape, 'plain')),
  fc.tuple(size, size, size).map((shape) => tensorOf(shape, 'plain')),
  fc.tuple(size, size, size).map((shape) => tensorOf(shape, 'stacked')),
  fc.tuple(size, size, size).map((shape) => tensorOf(shape, 'transposed')),
  size.map((length) => tensorOf([length], 'plain')),
)

describe('cutting a tensor', () => {
  test('covers every row once and in order, in runs that fit, none over two experts', () => {
    fc.assert(
      fc.property(anyTensor, fc.integer({ min: 1, max: 500 }), (tensor, elements) => {
        const columns = tensor.shape.at(-1) ?? 1
        const rowsOfMatrix = tensor.shape.length > 1 ? (tensor.shape.at(-2) ?? 1) : 1
        let next = 0
        for (const { recipe, start, end, tensorRow } of rowRangesOf(tensor, elements)) {
          expect(tensorRow).toBe(next)
          expect(end).toBeGreaterThan(start)
          expect(end - start).toBeLessThanOrEqual(Math.max(elements / columns, preferredRowStep(recipe)))
          next = tensorRow + end - start
          expect(Math.floor((next - 1) / rowsOfMatrix)).toBe(Math.floor(tensorRow / rowsOfMatrix))
          expect(end).toBeLessThanOrEqual(recipe.shape.slice(0, -1).reduce((product, size) => product * size, 1))
        }
        expect(next).toBe(tensor.shape.slice(0, -1).reduce((product, size) => product * size, 1))
      }),
    )
  })

  test('cuts at multiples of the step that the recipe prefers', () => {
    // A matrix of 100 x 60 is transposed as a whole: 60 rows at once, though 500 values are but 5 rows.
    const runs = [...rowRangesOf(tensorOf([3, 60, 100], 'transposed'), 500)]
    expect(runs.map(({ start, end }) => [start, end])).toEqual([
      [0, 60],
      [60, 120],
      [120, 180],
    ])
  })

  test('an expert carries its own recipe and importance alone', () => {
    const tensor = tensorOf([2, 3, 4], 'stacked')
    const importance = Float32Array.from({ length: 8 }, (_, index) => index)
    const runs = [...rowRangesOf(tensor, 1000, { importance: () => importance })]
    expect(runs).toEqual([
      { recipe: tensorInput(tensor, 0), start: 0, end: 3, tensorRow: 0, importance: Float32Array.of(0, 1, 2, 3) },
      { recipe: tensorInput(tensor, 1), start: 0, end: 3, tensorRow: 3, importance: Float32Array.of(4, 5, 6, 7) },
    ])
    expect(runs[1]?.importance?.buffer.byteLength).toBe(16)
  })
})

function tensorInput({ recipe }: BlueprintTensor, expert: number): unknown {
  return recipe.op === 'stack' ? recipe.inputs[expert] : undefined
}

describe('sampling a tensor', () => {
  test('takes about as many rows as asked, distinct, in order, over every expert', () => {
    fc.assert(
      fc.property(anyTensor, fc.integer({ min: 1, max: 2000 }), (tensor, rows) => {
        const matrices = tensor.shape.slice(0, -2).reduce((product, size) => product * size, 1)
        const all = tensor.shape.slice(0, -1).reduce((product, size) => product * size, 1)
        const sampled = sampleTensor(tensor, rows).flatMap(({ start, end, tensorRow }) =>
          Array.from({ length: end - start }, (_, index) => tensorRow + index),
        )
        expect(sampled).toEqual([...new Set(sampled)].toSorted((a, b) => a - b))
        expect(sampled.every((row) => row >= 0 && row < all)).toBe(true)
        const seen = new Set(sampled.map((row) => Math.floor(row / (all / matrices))))
        expect(seen.size).toBe(Math.min(rows, matrices))
        expect(sampled.length).toBeLessThanOrEqual(Math.max(rows + matrices / 2, 1))
        if (rows >= all) expect(sampled.length).toBe(all)
        else expect(sampled.length).toBeGreaterThan(rows / 2 - 8 * matrices)
      }),
    )
  })

  test('spreads runs of eight over the rows', () => {
    const runs = sampleTensor(tensorOf([1000, 4], 'plain'), 32)
    expect(runs.map(({ start, end }) => [start, end])).toEqual([
      [121, 129],
      [371, 379],
      [621, 629],
      [871, 879],
    ])
  })
})
