import type { Evaluation, Operation } from '../operation.js'
import type { Recipe, Shape } from '../recipe.js'
import { rowCount, rowLength, showShape } from '../shape.js'

const kinds = ['centred', 'unit-columns', 'unit-rows', 'ternary', 'ternary-f16'] as const

/**
 * Values that are changed by a statistic of all of them, as classes of llama.cpp's converter do before they write a tensor.
 * centred: minus the mean (router biases of Sarvam). unit-columns: each divided by the Euclidean norm of its column plus 1e-7 (the output
 * matrix of Ling, which is normalized whenever the model runs). unit-rows: each divided by the Euclidean norm of its row, as
 * torch.nn.functional.normalize does (that of Baichuan 2). ternary: -1, 0 or 1, times the mean of the magnitudes (BitNet b1.58),
 * which ternary-f16 rounds to f16.
 * Source: conversion/bailingmoe.py and conversion/bitnet.py, llama.cpp v0.7.0.
 */
export interface NormalizeRecipe {
  readonly op: 'normalize'
  readonly by: (typeof kinds)[number]
  readonly input: Recipe
  readonly shape: Shape
}

declare module '../recipe.js' {
  interface RecipeNodes {
    readonly normalize: NormalizeRecipe
  }
}

/** @throws RangeError for columns of what is not a matrix. */
export function normalize(by: NormalizeRecipe['by'], input: Recipe): NormalizeRecipe {
  if (by === 'unit-columns' && input.shape.length !== 2) throw new RangeError(`columns of ${showShape(input.shape)}`)
  return { op: 'normalize', by, input, shape: input.shape }
}

/** Values of the input that are held at once while all are read. */
const valuesAtOnce = 1 << 18

/** ggml and torch compute in f32: what stands in the converter's code is rounded first. */
const smallestNorm = Math.fround(1e-7)
const smallestMagnitude = Math.fround(1e-5)

export const normalizeOperation: Operation<NormalizeRecipe> = {
  operands: ({ input }) => [input],
  source: () => undefined,
  lossless: false,
  rowStep: ({ input }, stepOf) => stepOf(input),
  async fill({ by, input }, start, target, evaluation) {
    if (by === 'unit-rows') {
      await evaluation.fill(input, start, target)
      const length = rowLength(input)
      for (let at = 0; at < target.length; at += length) divideByNorm(target.subarray(at, at + length))
      return
    }
    if (by === 'unit-columns') {
      const norms = await evaluation.statistics.of('column norms', input, () => columnNorms(input, evaluation))
      await evaluation.fill(input, start, target)
      const { length } = norms
      for (let at = 0; at < target.length; at += length) {
        for (let i = 0; i < length; i++) target[at + i] = (target[at + i] as number) / (norms[i] as number)
      }
      return
    }
    const magnitudes = by !== 'centred'
    const name = magnitudes ? 'mean magnitude' : 'mean'
    const mean = await evaluation.statistics.of(name, input, () => meanOf(input, magnitudes, evaluation))
    await evaluation.fill(input, start, target)
    if (by === 'centred') {
      for (let i = 0; i < target.length; i++) target[i] = (target[i] as number) - mean
      return
    }
    // The converter divides by the inverse, whose rounding shows in the scale.
    const inverse = Math.fround(1 / Math.max(mean, smallestMagnitude))
    const scale = by === 'ternary-f16' ? toFloat16(1 / inverse) : Math.fround(1 / inverse)
    for (let i = 0; i < target.length; i++) target[i] = ternary(Math.fround((target[i] as number) * inverse)) * scale
  },
  read: (fields) => normalize(fields.oneOf('by', kinds), fields.recipe('input')),
}

/** The nearest of -1, 0 and 1, and a zero with its sign; halves go to the even one, 0. */
function ternary(value: number): number {
  return value > 0.5 ? 1 : value < -0.5 ? -1 : Math.trunc(value)
}

/** The nearest f16 of a number from 0 to 65504, the even one of two. */
function toFloat16(value: number): number {
  const rounded = Math.fround(value)
  const step = 2 ** (Math.max(-14, Math.floor(Math.log2(rounded))) - 10)
  const whole = Math.floor(rounded / step)
  const rest = rounded / step - whole
  return (rest > 0.5 || (rest === 0.5 && whole % 2 === 1) ? whole + 1 : whole) * step
}

/** Values divided by their Euclidean norm, which is 1e-12 at least. */
function divideByNorm(row: Float32Array): void {
  let sum = 0
  for (const value of row) sum += value ** 2
  const norm = Math.fround(Math.max(Math.sqrt(sum), 1e-12))
  for (let i = 0; i < row.length; i++) row[i] = (row[i] as number) / norm
}

/** All rows of a recipe, some at a time. */
async function eachRows(input: Recipe, { fill, buffers }: Evaluation, visit: (values: Float32Array) => void): Promise<void> {
  const length = rowLength(input)
  const count = rowCount(input)
  const step = Math.max(1, Math.floor(valuesAtOnce / length))
  for (let row = 0; row < count; row += step) {
    const values = buffers.floats(Math.min(step, count - row) * length)
    await fill(input, row, values)
    visit(values)
    buffers.release(values)
  }
}

/** The mean of all values, or of their magnitudes, rounded to f32 as sum and as quotient; torch's sum may be some units in the last place off. */
async function meanOf(input: Recipe, magnitudes: boolean, evaluation: Evaluation): Promise<number> {
  let sum = 0
  await eachRows(input, evaluation, (values) => {
    if (magnitudes) for (const value of values) sum += Math.abs(value)
    else for (const value of values) sum += value
  })
  return Math.fround(Math.fround(sum) / (rowCount(input) * rowLength(input)))
}

/** Norms of columns plus 1e-7, summed row after row in f32 as torch sums over the first of two dimensions. */
async function columnNorms(input: Recipe, evaluation: Evaluation): Promise<Float32Array> {
  const sums = new Float32Array(rowLength(input))
  const { length } = sums
  await eachRows(input, evaluation, (values) => {
    for (let at = 0; at < values.length; at += length) {
      for (let i = 0; i < length; i++) sums[i] = (sums[i] as number) + (values[at + i] as number) ** 2
    }
  })
  return sums.map((sum) => Math.fround(Math.fround(Math.sqrt(sum)) + smallestNorm))
}
