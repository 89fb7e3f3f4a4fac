import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { benchOss } from '../../bench/widening/gpt-oss.js'
import { foreign } from '../support/foreign.js'

describe.skipIf(!foreign.available || !foreign.has('llama-server'))(
  `widened files and programs that are not ours (${foreign.name})`,
  () => {
    let folder = ''
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'mq-interop-widening-'))
    })
    afterAll(() => rm(folder, { recursive: true, force: true }))

    test('a model like gpt-oss, of few bits that no other file of it has, is served by llama-server', async () => {
      const found = await benchOss(folder, { hidden: 360, experts: 2, layers: 1 }, 4.6, 1)
      expect(found.least).toMatch(/below the minimum for this model: \d+\.\d+ bits per weight/)
      expect(found.bitsPerWeight).toBeLessThanOrEqual(4.6)
      expect(found.notes).toContain('Only a widened model fits the budget.')
      expect(found.served).toBe(8)
    }, 120_000)
  },
)
