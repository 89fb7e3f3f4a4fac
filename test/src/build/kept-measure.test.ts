import { appendFile, readFile, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { keptMeasure } from '../../../src/build/run/kept-measure.js'
import { measure } from '../../../src/engine/index.js'
import { finish } from '../../../src/progress/index.js'
import { smallModel } from '../../support/small-model.js'
import { temporaryFolder } from '../../support/tiny-model.js'

test('errors are measured once, and again where a kill cut their line off', async () => {
  await using folder = await temporaryFolder()
  const names = Array.from({ length: 20 }, (_, index) => `t${index}`)
  const blueprint = await smallModel(
    folder.path,
    names.map((name) => ({ name, shape: [2, 256] })),
  )
  const requests = names.map((tensor) => ({ tensor, types: ['Q4_K', 'Q8_0'] as const }))
  const expected = await finish(measure({ blueprint, requests }))
  const file = join(folder.path, 'measured', 'errors.jsonl')
  const asked: string[] = []
  const counting: Parameters<typeof keptMeasure>[1] = (options) => {
    asked.push(...options.requests.map(({ tensor }) => tensor))
    return measure(options)
  }
  const kept = async (): Promise<unknown> => finish(keptMeasure(file, counting)({ blueprint, requests }))
  expect(await kept()).toEqual(expected)
  expect(asked).toEqual(names)
  expect(await kept()).toEqual(expected)
  expect(asked).toEqual(names)

  const { length } = await readFile(file)
  await truncate(file, length - 10)
  expect(await kept()).toEqual(expected)
  expect(asked).toEqual([...names, 't19'])
  await appendFile(file, '["torn')
  expect(await kept()).toEqual(expected)
  expect(asked).toHaveLength(names.length + 1)
})
