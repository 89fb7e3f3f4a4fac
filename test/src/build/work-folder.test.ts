import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { build, inProcess, splitting, type UnitExecutor } from '../../../src/build/index.js'
import { finish } from '../../../src/progress/index.js'
import { writeTinyCheckpoint } from '../../support/tiny-checkpoint.js'
import { temporaryFolder } from '../../support/tiny-model.js'

test('the folder of a unit is made by who computes it: a worker publishes a result with that name', async () => {
  await using at = await temporaryFolder()
  await writeTinyCheckpoint(join(at.path, 'tiny'))
  const file = join(at.path, 'build.yaml')
  await writeFile(file, 'models: { tiny: { source: tiny, outputs: { half: { type: F16 } } } }')
  const before: boolean[] = []
  const kinds: string[] = []
  const executor: NonNullable<Parameters<typeof build>[0]['executor']> = (work) => {
    const own = inProcess({ measured: join(work.path, 'measured'), threads: 1 })
    const looking: UnitExecutor = {
      ...own,
      run(task) {
        before.push(existsSync(task.folder))
        kinds.push(task.unit.kind)
        return own.run(task)
      },
    }
    return splitting(looking, work, { partWeights: 2 ** 15 })
  }
  const { report } = await finish(build({ file, executor }))
  expect(report.steps).toEqual({ total: 2, known: 0, run: 2 })
  expect(kinds.filter((kind) => kind === 'quantize-part').length).toBeGreaterThan(1)
  expect(before).toEqual(kinds.map(() => false))
})
