import fc from 'fast-check'
import { expect, it } from 'vitest'
import { JsonProblem, parseJsonText } from '../../formats/json-text.js'

/** Half of a surrogate pair is not UTF-8. */
const wellFormed = (text: string): string => Buffer.from(text).toString()
const parse = (text: string): unknown => parseJsonText(Buffer.from(text))

it('reads all that JSON.parse reads', () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      expect(parse(text)).toEqual(JSON.parse(wellFormed(text)))
    }),
  )
})

it('reads the bare numbers of Python, and not within a text', () => {
  const text = '{"a": NaN, "NaN": "Infinity, NaN", "b": [-Infinity, {"c": Infinity}]}'
  expect(parse(text)).toEqual({ a: 'NaN', NaN: 'Infinity, NaN', b: [-Infinity, { c: Infinity }] })
})

it('refuses what JSON.parse refuses, and says where', () => {
  const broken = fc
    .tuple(fc.json({ maxDepth: 3 }), fc.nat(), fc.constantFrom('}', ']', ',', ':', 'x', '"', '\n', '1', ''))
    .map(([text, at, inserted]) => {
      const place = at % (text.length + 1)
      return text.slice(0, place) + inserted + text.slice(place + (inserted === '' ? 1 : 0))
    })
  fc.assert(
    fc.property(broken, (text) => {
      let valid = true
      try {
        JSON.parse(wellFormed(text))
      } catch {
        valid = false
      }
      if (valid) expect(parse(text)).toEqual(JSON.parse(wellFormed(text)))
      else expect(() => parse(text)).toThrow(JsonProblem)
    }),
    { numRuns: 1000 },
  )
})

it.each([
  ['[1,\n2\n3]', 'it is not JSON: "3" stands in line 3 where , or ] should'],
  ['{"a" 1}', 'it is not JSON: "1" stands in line 1 where : should'],
  ['{"a": 01}', 'it is not JSON: "01" stands in line 1 where a value should'],
  ['{} {}', 'it is not JSON: "{" stands in line 1 where the end should'],
  ['{"a": nan}', 'it is not JSON: "nan" stands in line 1 where a value should'],
])('%j: %s', (text, words) => {
  expect(() => parse(text)).toThrow(words)
})
