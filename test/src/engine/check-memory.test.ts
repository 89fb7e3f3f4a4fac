import { expect, test } from 'vitest'
import { checkMemory, type InputCovariances } from '../../../src/engine/index.js'
import { MqError } from '../../../src/errors/index.js'
import { blueprintOf } from '../plan/allocate/blueprints.js'

const blueprint = blueprintOf({
  architecture: 'llama',
  layers: 1,
  experts: 0,
  heads: 4,
  groups: 4,
  tensors: [
    ['token_embd.weight', [512, 4096]],
    ['blk.0.ffn_down.weight', [4096, 14336]],
  ],
})

/** A calibration that knows the inputs of everything in blocks, by so many directions. */
function known(rank: number): InputCovariances {
  return {
    digest: 'test',
    importance: () => undefined,
    inputOf: (tensor) => (tensor.startsWith('blk.') ? tensor : undefined),
    rankOf: () => rank,
    source: () => Promise.reject(new Error('nothing is read')),
    heldOut: () => Promise.reject(new Error('nothing is read')),
  }
}

function minOf(calibration: InputCovariances | undefined, steps: { measures: boolean; dampings: boolean }): number {
  try {
    checkMemory(blueprint, 1e6, calibration, steps)
  } catch (error) {
    if (error instanceof MqError && error.code === 'MEMORY_TOO_SMALL') return Number(error.details['least'])
    throw error
  }
  throw new Error('a megabyte is enough')
}

test('the limit that is asked for is enough for every step, and measuring in all layouts takes most', () => {
  const steps = [
    { measures: false, dampings: false },
    { measures: false, dampings: true },
    { measures: true, dampings: true },
  ]
  const least = steps.map((step) => minOf(known(64), step))
  for (const [index, step] of steps.entries()) checkMemory(blueprint, least[index], known(64), step)
  expect(least[2]).toBeGreaterThan(least[0] as number)
  // The covariance's sums and factors, and a table of each layout, of 14336 columns and 64 directions: src/engine/prepared-bytes.ts.
  const columns = 14336
  expect((least[2] as number) - minOf(undefined, { measures: true, dampings: false })).toBeGreaterThan(
    4 * columns * 4 * (35 + 64) + columns * (16 * 65 + 3 * 64 * 16),
  )
})

test('what is known in more directions takes more, and no limit is always kept', () => {
  const step = { measures: true, dampings: true }
  expect(minOf(known(256), step)).toBeGreaterThan(minOf(known(64), step))
  expect(checkMemory(blueprint, undefined, known(256), step)).toBeUndefined()
})
