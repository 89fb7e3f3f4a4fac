import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseRange } from '../../../src/registry/http/range.js'

/** The examples of RFC 9110, section 14.1.2, for 10000 bytes, and the edges beside them. */
describe('Range headers', () => {
  test.each([
    ['bytes=0-499', { kind: 'part', start: 0, end: 500 }],
    ['bytes=500-999', { kind: 'part', start: 500, end: 1000 }],
    ['bytes=-500', { kind: 'part', start: 9500, end: 10_000 }],
    ['bytes=9500-', { kind: 'part', start: 9500, end: 10_000 }],
    ['bytes=0-0', { kind: 'part', start: 0, end: 1 }],
    ['bytes=9999-20000', { kind: 'part', start: 9999, end: 10_000 }],
    ['bytes=-20000', { kind: 'part', start: 0, end: 10_000 }],
    ['bytes=0-99999999999999999999', { kind: 'part', start: 0, end: 10_000 }],
    ['bytes=10000-', { kind: 'unsatisfiable' }],
    ['bytes=99999999999999999999-', { kind: 'unsatisfiable' }],
    ['bytes=-0', { kind: 'unsatisfiable' }],
    ['bytes=500-499', { kind: 'whole' }],
    ['bytes=0-1,4-5', { kind: 'whole' }],
    ['bytes=-', { kind: 'whole' }],
    ['bytes=a-b', { kind: 'whole' }],
    ['bytes=1.5-2', { kind: 'whole' }],
    ['items=0-1', { kind: 'whole' }],
    ['', { kind: 'whole' }],
    [undefined, { kind: 'whole' }],
  ])('%s', (header, expected) => {
    expect(parseRange(header, 10_000)).toEqual(expected)
  })

  test('an empty file has no satisfiable range', () => {
    expect(parseRange('bytes=0-', 0)).toEqual({ kind: 'unsatisfiable' })
    expect(parseRange('bytes=-5', 0)).toEqual({ kind: 'unsatisfiable' })
  })

  test('a part always lies within the file and is not empty', () => {
    const number = fc.oneof(fc.constant(''), fc.nat(30).map(String), fc.bigInt({ min: 0n }).map(String))
    fc.assert(
      fc.property(number, number, fc.nat(20), (first, last, size) => {
        const answer = parseRange(`bytes=${first}-${last}`, size)
        if (answer.kind !== 'part') return
        expect(answer.start).toBeGreaterThanOrEqual(0)
        expect(answer.end).toBeGreaterThan(answer.start)
        expect(answer.end).toBeLessThanOrEqual(size)
      }),
    )
  })
})
