import { expect, test } from 'vitest'
import { parsePositive, parseShare, parseSize } from '../../commands/shared/quantities.js'

test.each([
  ['512', 512],
  ['512MB', 512_000_000],
  ['1.5GiB', 1_610_612_736],
  ['20g', 20_000_000_000],
  [' 3 KiB ', 3072],
  ['1T', 1e12],
])('%j is %d bytes', (text, bytes) => {
  expect(parseSize(text, 'memory', 'quantize')).toBe(bytes)
})

test.each(['', 'MB', '-1MB', '0', '1XB', '1e9', '1,5GB', 'NaN', '9999999T'])('%j is no size', (text) => {
  expect(() => parseSize(text, 'memory', 'quantize')).toThrow(expect.objectContaining({ code: 'FLAG_INVALID' }))
})

test('a positive number', () => {
  expect(parsePositive('2.51', 'bits', 'quantize')).toBe(2.51)
  for (const text of ['', '0', '-1', 'two', 'Infinity', 'NaN']) {
    expect(() => parsePositive(text, 'bits', 'quantize')).toThrow(expect.objectContaining({ code: 'FLAG_INVALID' }))
  }
})

test.each([
  ['0.9', 0.9],
  ['90%', 0.9],
  [' .5 ', 0.5],
  ['100 %', 1],
])('%s is a share', (text, share) => {
  expect(parseShare(text, 'min-same-top', 'verify')).toBe(share)
})

test.each(['0', '120%', '1.5', '-0.5', 'abc', ''])('%j is no share', (text) => {
  expect(() => parseShare(text, 'min-same-top', 'verify')).toThrow(expect.objectContaining({ code: 'FLAG_INVALID' }))
})
