import { describe, expect, test } from 'vitest'
import { memoryShare } from '../../../src/engine/memory.js'

const MiB = 2 ** 20
const held = (): number => process.memoryUsage.rss() + 40 * MiB
/** Of the test process, between two looks at it. */
const noise = 8 * MiB

describe('by default', () => {
  test('the whole stays within 600 MB, on up to 16 threads where the process itself is small', () => {
    for (const threads of [1, 2, 16]) {
      const share = memoryShare(undefined, threads, 3 * MiB)
      expect(share.threads).toBe(threads)
      const sum = held() + 20 * MiB * threads + share.taskBytes
      expect(sum).toBeLessThan(Math.max(600e6, held() + 16 * 26 * MiB) + noise)
    }
  })

  test('no thread is given up: many cores take what they need', () => {
    const { threads, taskBytes } = memoryShare(undefined, 64, 3 * MiB)
    expect({ threads, taskBytes }).toEqual({ threads: 64, taskBytes: 64 * 2 * 3 * MiB })
  })

  test('one task that is larger than others costs no thread', () => {
    const { threads, taskBytes } = memoryShare(undefined, 16, 300 * MiB)
    expect({ threads, taskBytes }).toEqual({ threads: 16, taskBytes: 300 * MiB })
  })
})

describe('with a limit', () => {
  test.each([
    [0, 1],
    [23, 2],
    [3 * 23, 4],
    [1000, 8],
  ])('%i MiB above the least are enough for %i threads', (more, threads) => {
    const limit = held() + (20 + 3 + 1 + more) * MiB
    expect(memoryShare(limit + noise, 8, 3 * MiB).threads).toBe(threads)
  })

  test('threads and tasks together stay below it', () => {
    const limit = held() + 500 * MiB
    const { threads, taskBytes } = memoryShare(limit, 1000, 100 * MiB)
    expect(taskBytes).toBeGreaterThanOrEqual(100 * MiB)
    expect(threads * 20 * MiB + taskBytes).toBeLessThanOrEqual(500 * MiB + noise)
    expect(threads).toBe(17)
  })

  test('too little for one thread is refused', () => {
    expect(() => memoryShare(held() + 22 * MiB - noise, 1, 3 * MiB)).toThrow(
      expect.objectContaining({ code: 'MEMORY_TOO_SMALL' }),
    )
  })
})
