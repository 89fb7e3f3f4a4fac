import { expect, test } from 'vitest'
import { checkpointSpecs } from '../../bench/coverage/checkpoints/index.js'
import { differences, recordedPerplexities, tolerance } from '../../bench/coverage/recorded.js'

test('perplexities and embeddings that were recorded agree with those of transformers, or it is said why not', async () => {
  const recorded = Object.entries(await recordedPerplexities())
  const apart = recorded.filter(
    ([, { ppl = 1, transformersPpl = ppl, distance = 0 }]) => Math.max(Math.abs(ppl / transformersPpl - 1), distance) > tolerance,
  )
  expect(apart.map(([name]) => name)).toEqual(Object.keys(differences).toSorted())
  const names = new Set(checkpointSpecs.map(({ name }) => name))
  expect(recorded.filter(([name]) => !names.has(name))).toEqual([])
  expect(recorded.length).toBeGreaterThan(100)
})
