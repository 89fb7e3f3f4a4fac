import { expect, test } from 'vitest'
import { quote } from '../../formats/quote.js'

test.each([
  ['text', 'a "b"', '"a \\"b\\""'],
  ['text over several lines', 'a\nb', '"a\\nb"'],
  ['nothing', undefined, 'nothing'],
  ['a large integer', 2n ** 64n, '18446744073709551616'],
  ['a list', [1, 2], '[1,2]'],
])('%s stands on one line', (_, value, expected) => {
  expect(quote(value)).toBe(expected)
})

test('whatever comes in, the line is short', () => {
  expect(quote('x'.repeat(1e6))).toHaveLength(101)
  expect(quote(Array.from({ length: 1e5 }, () => 1n))).toHaveLength(101)
})
