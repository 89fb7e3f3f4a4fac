import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Importance } from '../../../src/engine/index.js'
import { makeBlueprint, smooth, smoothable, widen } from '../../../src/model/index.js'
import { planUniform } from '../../../src/plan/index.js'
import { inputsOfPlan } from '../../../src/plan/widths.js'
import { finish } from '../../../src/progress/index.js'
import { quantize } from '../../../src/quantize/index.js'
import { rowLength } from '../../../src/recipe/index.js'
import { coverageBlueprint } from '../../support/coverage-checkpoints.js'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-widths-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test('what was measured of a file that is widened already keeps its columns where scales are moved', async () => {
  const narrow = await coverageBlueprint(folder, 'llama')
  const output = join(folder, 'wide.gguf')
  const grown = widen(narrow, { feed_forward_length: 256 })
  await finish(quantize({ blueprint: grown, plan: planUniform(grown, 'F16'), output, threads: 1 }))
  const wide = await makeBlueprint(output)
  expect(wide.widened).toBeDefined()
  const vector = smoothable(wide).find(({ writer }) => writer.name === 'blk.0.ffn_up.weight')
  const [reader] = vector?.readers ?? []
  if (reader === undefined) throw new Error('nothing reads it')
  const columns = rowLength(reader)
  const model = smooth(wide, { 'blk.0.ffn_up.weight': 'm'.repeat(columns - 1) + 'n' })
  const inputs: { readonly importance: Importance } = { importance: () => new Float32Array(columns).fill(4) }
  const { importance } = inputsOfPlan(inputs, wide, model)
  const found = importance('blk.0.ffn_down.weight')
  expect([found?.length, found?.[0], found?.[columns - 1]]).toEqual([columns, 4, 1])
})
