import { expect, it } from 'vitest'
import {
  bitsPerValue,
  combine,
  concat,
  constant,
  expand,
  place,
  plain,
  type Recipe,
  slice,
  stack,
} from '../../../src/recipe/index.js'

/** A BF16 matrix of 8 x 4 at a place of its own. */
const matrix = (at = 0): Recipe => plain('BF16', { file: 0, start: at, end: at + 64 }, [8, 4])
const codes = plain('F8_E4M3', { file: 0, start: 0, end: 32 }, [8, 4])
const scales = expand(plain('F32', { file: 0, start: 32, end: 64 }, [8, 1]), 1, 4, [8, 4])

it.each<[string, Recipe, number]>([
  ['plain', matrix(), 16],
  ['a part of a larger tensor', slice(matrix(), 0, 2, 4), 16],
  ['a tensor among zeros', place(matrix(), 0, [0, 0, 1], 100), 16],
  ['parts of one tensor, joined', concat([slice(matrix(), 0, 0, 1), slice(matrix(), 0, 5, 6)]), 16],
  ['experts', stack([matrix(), matrix(64), matrix(128)]), 16],
  ['codes of 8 bits with a scale of 32 bits for 4 of them', combine('product', codes, scales), 16],
  ['a scale that is read twice', combine('product', combine('product', codes, scales), scales), 16],
  ['one row of them', slice(combine('product', codes, scales), 0, 0, 1), 16],
  ['codes alone', codes, 8],
  ['nothing that is read', constant([1, 2]), 0],
])('bits that files hold for each value: %s', (_, recipe, bits) => {
  expect(bitsPerValue(recipe)).toBeCloseTo(bits, 10)
})
