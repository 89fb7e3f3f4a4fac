import { join } from 'node:path'
import { expect, test } from 'vitest'
import { writeGguf } from '../../../formats/gguf/index.js'
import { chunkGroups, groupBatchesOf } from '../../../src/calibration/index.js'
import { batchGroups } from '../../../src/verify/index.js'
import { temporaryFolder } from '../../support/tiny-model.js'

test('groups are whole batches, and follow from chunks and context alone', () => {
  expect(chunkGroups(125, 512, 128)).toEqual([{ first: 0, end: 125 }])
  expect(chunkGroups(300, 512, 128)).toEqual([
    { first: 0, end: 128 },
    { first: 128, end: 256 },
    { first: 256, end: 300 },
  ])
  // Four chunks of 128 tokens are a batch of statistics, sixteen one of logits; a chunk of 4096 is more than a batch.
  expect(chunkGroups(100, 128, 16)[1]).toEqual({ first: 64, end: 100 })
  expect(batchGroups(100, 128, 2)[1]).toEqual({ first: 32, end: 64 })
  expect(batchGroups(5, 4096, 2).map(({ end }) => end)).toEqual([2, 4, 5])
  expect(chunkGroups(0, 512, 8)).toEqual([])
  // The batches that are held out would be others.
  expect(() => chunkGroups(100, 512, 12)).toThrow(RangeError)
})

test('groups of larger models are smaller', async () => {
  await using folder = await temporaryFolder()
  const path = join(folder.path, 'small.gguf')
  const data = new Uint8Array(4 * 32)
  await writeGguf(path, new Map([['general.architecture', { type: 'string', value: 'llama' }]]), [
    { name: 'output.weight', dimensions: [32], type: 'F32', data },
  ])
  expect(await groupBatchesOf(path)).toBe(128)
})
