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
  ['[1,\n2\n3]', 'it is not JSON: "3" found in line 3 where , or ] is expected'],
  ['{"a" 1}', 'it is not JSON: "1" found in line 1 where : is expected'],
  ['{"a": 01}', 'it is not JSON: "01" found in line 1 where a value is expected'],
  ['{} {}', 'it is not JSON: "{" found in line 1 where the end is expected'],
  ['{"a": nan}', 'it is not JSON: "nan" found in line 1 where a value is expected'],
])('%j: %s', (text, words) => {
  expect(() => parse(text)).toThrow(words)
})
