import { expect, test } from 'vitest'
import { newShelf } from '../../../src/quantize/shelf.js'
import type { Prepared, PreparedKey } from '../../../src/quantize/task.js'

const key = (input: string): PreparedKey => ({ input, form: 'held-out', damping: 0, columns: 8 })

/** A shelf of things of 100 bytes that take 250 to make, and what was made for it. */
function shelfOf(): { shelf: ReturnType<typeof newShelf>; made: string[] } {
  const made: string[] = []
  const make = async ({ input }: PreparedKey): Promise<Prepared> => {
    made.push(input)
    return { columns: 8, whole: false, diagonal: new Float32Array(8), panels: new Float32Array(25), depth: 0 }
  }
  return { shelf: newShelf(make, () => 250), made }
}

test('what several tasks take is made once, and kept when it is given back', async () => {
  const { shelf, made } = shelfOf()
  await Promise.all([shelf.take([key('a')]), shelf.take([key('a')])])
  shelf.release([key('a')])
  shelf.release([key('a')])
  await shelf.take([key('a')])
  expect(made).toEqual(['a'])
})

test('it takes what making takes at first, and then what was made; the idle counts for nothing', async () => {
  const { shelf } = shelfOf()
  expect(shelf.missingBytes([key('a')])).toBe(250)
  const taken = shelf.take([key('a')])
  expect(shelf.usedBytes).toBe(250)
  await taken
  expect([shelf.usedBytes, shelf.missingBytes([key('a')])]).toEqual([100, 0])
  shelf.release([key('a')])
  expect([shelf.usedBytes, shelf.missingBytes([key('a')])]).toEqual([0, 100])
})

test('the longest unused goes first, and nothing that is in use', async () => {
  const { shelf, made } = shelfOf()
  for (const name of ['a', 'b', 'c']) {
    await shelf.take([key(name)])
    if (name !== 'c') shelf.release([key(name)])
  }
  await shelf.take([key('a')])
  shelf.release([key('a')])
  shelf.shrinkTo(200)
  expect(['a', 'b', 'c'].map((name) => shelf.has(key(name)))).toEqual([true, false, true])
  shelf.shrinkTo(0)
  expect(['a', 'b', 'c'].map((name) => shelf.has(key(name)))).toEqual([false, false, true])
  expect(made).toEqual(['a', 'b', 'c'])
})

test('a covariance is made once for all that is made of it, and given back', async () => {
  const made: string[] = []
  const shelf = newShelf(
    async ({ form }, covariance): Promise<Prepared> => {
      made.push(form)
      if (form === 'covariance') return { covariance: { diagonal: new Float64Array(8) } }
      expect(covariance).toEqual({ covariance: { diagonal: new Float64Array(8) } })
      return { columns: 8, whole: false, diagonal: new Float32Array(8), panels: new Float32Array(25), depth: 0 }
    },
    () => 250,
  )
  const keys = (['outputs', '16x1'] as const).map((form): PreparedKey => ({ ...key('a'), form }))
  expect(shelf.missingBytes(keys)).toBe(750)
  await shelf.take(keys)
  expect(made).toEqual(['covariance', 'outputs', '16x1'])
  expect(shelf.usedBytes).toBe(200)
})
