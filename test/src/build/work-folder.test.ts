import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { workFolder } from '../../../src/build/index.js'
import { temporaryFolder } from '../../support/tiny-model.js'

test('a unit begins while a worker removes its folder to publish a result', async () => {
  await using at = await temporaryFolder()
  const place = workFolder(at.path)
  const [kind, key] = ['plan', 'a'.repeat(64)] as const
  const folder = await place.begin(kind, key)
  for (let round = 0; round < 2000; round++) {
    const removed = rm(folder, { recursive: true, force: true })
    expect(await place.begin(kind, key)).toBe(folder)
    await removed
    await place.begin(kind, key)
  }
  expect(folder).toBe(join(at.path, 'steps', `plan-${'a'.repeat(24)}`))
})
