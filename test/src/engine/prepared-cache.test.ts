import { expect, test } from 'vitest'
import { newPreparedCache } from '../../../src/engine/prepared-cache.js'
import type { PreparedKey } from '../../../src/engine/task.js'

const key = (input: string): PreparedKey => ({ input, form: 'held-out', damping: 0, columns: 8 })

/** A cache of things of 100 bytes that take 250 to make, and what was made for it. */
function cacheOf(): { cache: ReturnType<typeof newPreparedCache>; made: string[]; forgotten: string[] } {
  const made: string[] = []
  const forgotten: string[] = []
  const make = async ({ input }: PreparedKey): Promise<number> => {
    made.push(input)
    return 100
  }
  const forget = ({ input }: PreparedKey): void => void forgotten.push(input)
  return { cache: newPreparedCache(make, () => 250, forget), made, forgotten }
}

test('what several tasks take is made once, and kept when it is given back', async () => {
  const { cache, made } = cacheOf()
  await Promise.all([cache.take([key('a')]), cache.take([key('a')])])
  cache.release([key('a')])
  cache.release([key('a')])
  await cache.take([key('a')])
  expect(made).toEqual(['a'])
})

test('it takes what making takes at first, and then what was made; the idle counts for nothing', async () => {
  const { cache } = cacheOf()
  expect(cache.missingBytes([key('a')])).toBe(250)
  const taken = cache.take([key('a')])
  expect(cache.usedBytes).toBe(250)
  await taken
  expect([cache.usedBytes, cache.missingBytes([key('a')])]).toEqual([100, 0])
  cache.release([key('a')])
  expect([cache.usedBytes, cache.missingBytes([key('a')])]).toEqual([0, 100])
})

test('the longest unused goes first, and nothing that is in use', async () => {
  const { cache, made, forgotten } = cacheOf()
  for (const name of ['a', 'b', 'c']) {
    await cache.take([key(name)])
    if (name !== 'c') cache.release([key(name)])
  }
  await cache.take([key('a')])
  cache.release([key('a')])
  cache.shrinkTo(200)
  expect(['a', 'b', 'c'].map((name) => cache.has(key(name)))).toEqual([true, false, true])
  cache.shrinkTo(0)
  expect(['a', 'b', 'c'].map((name) => cache.has(key(name)))).toEqual([false, false, true])
  expect(made).toEqual(['a', 'b', 'c'])
  expect(forgotten).toEqual(['b', 'a'])
})

test('a covariance is made once for all that is made of it, and given back', async () => {
  const made: string[] = []
  const cache = newPreparedCache(
    async ({ form }, origin) => {
      made.push(form)
      expect(origin?.form).toBe(form === 'covariance' ? undefined : 'covariance')
      return 100
    },
    () => 250,
    () => undefined,
  )
  const keys = (['outputs', '16x1'] as const).map((form): PreparedKey => ({ ...key('a'), form }))
  expect(cache.missingBytes(keys)).toBe(750)
  await cache.take(keys)
  expect(made).toEqual(['covariance', 'outputs', '16x1'])
  expect(cache.usedBytes).toBe(200)
})
