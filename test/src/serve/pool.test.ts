import { expect, test } from 'vitest'
import { loadModel } from '../../../src/runner/index.js'
import { ModelPool } from '../../../src/serve/pool.js'
import { llama, sampleModels } from '../../support/sample-models.js'

test.skipIf(!llama.available)(`a model whose llama.cpp has ended is loaded again (${llama.name})`, async () => {
  const path = await (await sampleModels()).make('llama-kjv', 'F32')
  let loads = 0
  const pool = new ModelPool(
    {
      list: () => Promise.resolve([{ name: 'kjv' }]),
      find: () => Promise.resolve({ name: 'kjv', path }),
      extraBytes: () => Promise.resolve(0),
      load: (file, signal) => {
        loads++
        return loadModel(file, { contextLength: 64, threads: 1, signal })
      },
    },
    { memoryBytes: 1e9, maxUsers: 4 },
  )
  const words = async (): Promise<number> => {
    const lease = await pool.acquire('kjv')
    try {
      return (await lease.model.tokenize('In the beginning')).length
    } finally {
      lease.release()
    }
  }
  expect([await words(), loads]).toEqual([await words(), 1])
  const lease = await pool.acquire('kjv')
  await lease.model.close()
  lease.release()
  expect(await words()).toBeGreaterThan(0)
  expect(loads).toBe(2)
  await pool.close()
})
