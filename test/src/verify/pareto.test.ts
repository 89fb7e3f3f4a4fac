import fc from 'fast-check'
import { expect, test } from 'vitest'
import { dominators } from '../../../src/verify/pareto.js'

const file = (sizeBytes: number, kld: number) => ({ sizeBytes, kld })

test('those on the front have no other that is both no larger and no further', () => {
  const files = [file(1, 0.5), file(2, 0.6), file(3, 0.1), file(3, 0.2), file(4, 0.1), file(5, 0.05)]
  expect(dominators(files)).toEqual([undefined, 0, undefined, 2, 2, undefined])
})

test('the nearest to the reference is named', () => {
  expect(dominators([file(1, 0.3), file(2, 0.1), file(3, 0.4)])).toEqual([undefined, undefined, 1])
})

test('equals stand side by side', () => {
  expect(dominators([file(1, 0.3), file(1, 0.3), file(2, 0.3)])).toEqual([undefined, undefined, 0])
})

test('walking up by size, the front is where the distance falls below all before', () => {
  const one = fc.record({ sizeBytes: fc.integer({ min: 1, max: 8 }), kld: fc.integer({ min: 0, max: 8 }) })
  fc.assert(
    fc.property(fc.uniqueArray(one, { selector: ({ sizeBytes, kld }) => `${sizeBytes} ${kld}`, maxLength: 20 }), (files) => {
      let least = Number.POSITIVE_INFINITY
      const front = new Set<object>()
      for (const each of files.toSorted((a, b) => a.sizeBytes - b.sizeBytes || a.kld - b.kld)) {
        if (each.kld < least) front.add(each)
        least = Math.min(least, each.kld)
      }
      expect(dominators(files).map((found) => found === undefined)).toEqual(files.map((each) => front.has(each)))
    }),
  )
})
