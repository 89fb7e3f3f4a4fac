import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { writeGguf } from '../../../formats/gguf/index.js'
import { memoryShare } from '../../../src/engine/memory.js'
import { MqError } from '../../../src/errors/index.js'
import { runMq } from '../../support/run-mq.js'
import { wave } from '../../support/small-model.js'
import { temporaryFolder } from '../../support/tiny-model.js'

const MiB = 2 ** 20
const tasks = fc.integer({ min: 0, max: 400 * MiB })
const threadCounts = fc.integer({ min: 1, max: 200 })
const feedbacks = fc.record({
  threadBytes: fc.integer({ min: 0, max: 200 * MiB }),
  sharedBytes: fc.integer({ min: 0, max: 400 * MiB }),
})

/** The limit that a refusal asks for. */
function minOf(...[threads, largest, feedback]: [number, number, Parameters<typeof memoryShare>[3]]): number {
  try {
    memoryShare(1, threads, largest, feedback)
  } catch (error) {
    if (error instanceof MqError && error.code === 'MEMORY_TOO_SMALL') return Number(error.details['least'])
    throw error
  }
  return expect.fail('one byte is enough')
}

describe('a limit', () => {
  test('that a refusal asks for is enough, for one thread and the largest task', () => {
    fc.assert(
      fc.property(threadCounts, tasks, feedbacks, (threads, largest, feedback) => {
        const share = memoryShare(minOf(threads, largest, feedback), threads, largest, feedback)
        expect(share.threads).toBeGreaterThanOrEqual(1)
        expect(share.threads).toBeLessThanOrEqual(threads)
        expect(share.taskBytes).toBeGreaterThanOrEqual(largest + feedback.sharedBytes)
      }),
    )
  })

  test('that is larger gives no fewer threads, and in the end all of them', () => {
    fc.assert(
      fc.property(threadCounts, tasks, feedbacks, fc.integer({ min: 0, max: 2 ** 33 }), (threads, largest, feedback, more) => {
        const least = minOf(threads, largest, feedback)
        const [low, high] = [least, least + more].map((limit) => memoryShare(limit, threads, largest, feedback).threads)
        // What the process holds, of which a share depends, moves between two looks.
        expect(high).toBeGreaterThanOrEqual((low as number) - 1)
        expect(memoryShare(least + threads * 2 ** 30, threads, largest, feedback).threads).toBe(threads)
      }),
    )
  })

  test.skipIf(process.platform !== 'linux')(
    'is kept by a run that would take more threads and more memory without it (needs Linux)',
    async () => {
      await using folder = await temporaryFolder()
      const source = join(folder.path, 'f32.gguf')
      const data = wave(4096 * 1024)
      const tensors = Array.from({ length: 8 }, (_, layer) => ({
        name: `blk.${layer}.ffn_up.weight`,
        type: 'F32' as const,
        dimensions: [4096, 1024],
        data: new Uint8Array(data.buffer),
      }))
      const metadata = new Map([
        ['general.architecture', { type: 'string', value: 'llama' }],
        ['llama.block_count', { type: 'uint32', value: 8 }],
      ] as const)
      await writeGguf(source, metadata, tensors)
      const peakOf = async (...more: string[]): Promise<number> => {
        // Of the process, its threads included, in KiB. Not maxRSS, which begins with what the process that started it held.
        const peak = `/VmHWM:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]`
        const atEnd = `import { readFileSync } from 'node:fs'; process.on('exit', () => process.stderr.write('peak ' + ${peak} + '\\n'))`
        const env = { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(atEnd)}` }
        const args = [
          'quantize',
          source,
          '--type',
          'Q4_K',
          '--threads',
          '12',
          '--force',
          '-o',
          join(folder.path, 'out.gguf'),
          ...more,
        ]
        const { exitCode, stderr } = await runMq(args, { env })
        expect([exitCode, stderr]).toEqual([0, expect.stringMatching(/^peak \d+$/m)])
        return 1024 * Math.max(...[...stderr.matchAll(/^peak (\d+)$/gm)].map(([, kilobytes]) => Number(kilobytes)))
      }
      const limit = 260e6
      expect(await peakOf('--memory', String(limit))).toBeLessThan(limit)
      expect(await peakOf()).toBeGreaterThan(limit)
    },
    60_000,
  )
})

describe('without a limit', () => {
  test('no thread is given up, and the largest task has room', () => {
    fc.assert(
      fc.property(threadCounts, tasks, feedbacks, (threads, largest, feedback) => {
        const share = memoryShare(undefined, threads, largest, feedback)
        expect(share.threads).toBe(threads)
        expect(share.taskBytes).toBeGreaterThanOrEqual(largest + feedback.sharedBytes)
      }),
    )
  })
})
