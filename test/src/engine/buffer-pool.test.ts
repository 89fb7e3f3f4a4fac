import fc from 'fast-check'
import { expect, test } from 'vitest'
import { newBufferPool } from '../../../src/engine/buffer-pool.js'

test('buffers in use never share memory, and are as long as asked for', () => {
  const step = fc.record({ length: fc.integer({ min: 0, max: 300_000 }), floats: fc.boolean(), release: fc.nat(9) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const pool = newBufferPool()
      const inUse: ArrayBufferView[] = []
      for (const { length, floats, release } of steps) {
        const view = floats ? pool.floats(length) : pool.bytes(length)
        expect(view.length).toBe(length)
        expect(inUse.some(({ buffer }) => buffer === view.buffer)).toBe(false)
        inUse.push(view)
        for (const freed of inUse.splice(inUse.length - (release < inUse.length ? release : 0))) pool.release(freed)
      }
    }),
    { numRuns: 50 },
  )
})

test('a task like the last one takes the same buffers', () => {
  const pool = newBufferPool()
  const buffers = (): ArrayBufferLike[] => {
    const taken = [pool.floats(500_000), pool.bytes(1_000_000), pool.bytes(100), pool.floats(499_000)]
    pool.reset()
    return taken.map(({ buffer }) => buffer)
  }
  const first = new Set(buffers())
  expect(first.size).toBe(4)
  for (let task = 0; task < 3; task++) for (const buffer of buffers()) expect(first.has(buffer)).toBe(true)
})
