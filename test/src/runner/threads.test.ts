import { describe, expect, it } from 'vitest'
import { generationThreads, planLanes, type Sized } from '../../../src/runner/child/threads.js'

function sized(parameters: number, vocabulary: number, threads: number, gpuLayers = 0): Sized {
  return { info: { parameters, sizeBytes: 2 * parameters, vocabulary }, options: { threads, gpuLayers } }
}

describe('threads', () => {
  it.each([
    ['a sample: side by side', sized(4e6, 2048, 8), 25, { lanes: 8, threads: 1 }],
    ['a sample with little text', sized(4e6, 2048, 8), 3, { lanes: 3, threads: 1 }],
    ['a small model: few lanes, for its logits are large', sized(60e6, 128_256, 16), 25, { lanes: 2, threads: 4 }],
    ['a large model: all threads for one', sized(8e9, 128_256, 16), 25, { lanes: 1, threads: 16 }],
    ['a GPU', sized(4e6, 2048, 8, 99), 25, { lanes: 1, threads: 8 }],
  ])('of perplexity: %s', (_, model, groups, expected) => {
    expect(planLanes(model, { groups, outputs: 1024 })).toEqual(expected)
  })

  it('of generation follow the bytes that a token reads', () => {
    expect(generationThreads(sized(4e6, 2048, 8))).toBe(1)
    expect(generationThreads(sized(120e6, 2048, 8))).toBe(4)
    expect(generationThreads(sized(8e9, 2048, 8))).toBe(8)
  })
})
