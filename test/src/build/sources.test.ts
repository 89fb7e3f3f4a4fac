import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { build } from '../../../src/build/index.js'
import { hashFile } from '../../../src/files/index.js'
import { makeBlueprint } from '../../../src/model/index.js'
import { makePlan } from '../../../src/plan/index.js'
import { finish } from '../../../src/progress/index.js'
import { quantize } from '../../../src/quantize/index.js'
import { findLocalSource, publish } from '../../../src/registry/index.js'
import { writeAdapter } from '../../support/adapters.js'
import { writeTinyCheckpoint } from '../../support/tiny-checkpoint.js'
import { temporaryFolder } from '../../support/tiny-model.js'

test('a checkpoint of the registry with an adapter becomes what mq quantize makes of the two', async () => {
  await using folder = await temporaryFolder()
  const at = (name: string): string => join(folder.path, name)
  await writeTinyCheckpoint(at('tiny'))
  const projection = 'model.layers.0.self_attn.q_proj'
  const tensors = { [`${projection}.lora_A.weight`]: [4, 32], [`${projection}.lora_B.weight`]: [32, 4] }
  await writeAdapter(at('adapter'), { tensors })
  await finish(publish({ source: at('tiny'), name: 'me/tiny', registry: at('registry') }))
  const cache = process.env['MQ_CACHE']
  process.env['MQ_CACHE'] = at('cache')
  try {
    const linked = (await findLocalSource('me/tiny', at('registry'))) ?? ''
    expect(await readFile(join(linked, 'config.json'), 'utf8')).toBe(await readFile(at('tiny/config.json'), 'utf8'))
    expect(await findLocalSource('me/other', at('registry'))).toBeUndefined()

    await writeFile(
      at('build.yaml'),
      `
models:
  tiny:
    source: registry:me/tiny
    registry: registry
    lora: adapter:0.5
    outputs: { half: { type: F16 }, parts: { type: F16, shards: 200kB } }
    gates: [size <= 1MB]
    publish: [{ name: me/quants, registry: registry, check: false }]
`,
    )
    const { report, failed } = await finish(build({ file: at('build.yaml') }))
    expect([failed, report.publications.map(({ name }) => name)]).toEqual([undefined, ['me/quants:half', 'me/quants:parts']])
    const [half, parts] = report.models[0]?.outputs ?? []
    const blueprint = await makeBlueprint(linked, { lora: [`${at('adapter')}:0.5`] })
    const plan = await finish(makePlan(blueprint, { kind: 'type', type: 'F16' }))
    await finish(quantize({ blueprint, plan, output: at('expected.gguf') }))
    expect(half?.files[0]?.sha256).toBe((await hashFile(at('expected.gguf'))).sha256)
    expect(parts?.files.length).toBeGreaterThan(1)
    // The registry on this machine has both: nothing is left to do.
    const again = await finish(build({ file: at('build.yaml') }))
    expect(again.report.steps).toEqual({ total: 4, known: 4, run: 0 })
    expect(again.report.publications.map(({ isNew }) => isNew)).toEqual([false, false])
  } finally {
    if (cache === undefined) delete process.env['MQ_CACHE']
    else process.env['MQ_CACHE'] = cache
  }
})

test('an output that was damaged in the work folder is not published, and made again', async () => {
  await using folder = await temporaryFolder()
  const at = (name: string): string => join(folder.path, name)
  await writeTinyCheckpoint(at('tiny'))
  const text = 'models: { tiny: { source: tiny, outputs: { half: { type: F16 } }'
  await writeFile(at('build.yaml'), `${text} } }`)
  const { report } = await finish(build({ file: at('build.yaml') }))
  const [half] = report.models[0]?.outputs ?? []
  const bytes = await readFile(half?.path ?? '')
  bytes[bytes.length - 1] = ~(bytes.at(-1) as number)
  await writeFile(half?.path ?? '', bytes)

  await writeFile(at('build.yaml'), `${text}, publish: [{ name: me/tiny, to: ./dist, check: false }] } }`)
  const publishing = finish(build({ file: at('build.yaml') }))
  await expect(publishing).rejects.toThrow(/tiny-half\.gguf cannot be read: it was damaged/)
  expect(await readdir(folder.path)).not.toContain('dist')
  const again = await finish(build({ file: at('build.yaml') }))
  expect(again.report.steps).toEqual({ total: 2, known: 1, run: 1 })
  expect((await hashFile(at('dist/tiny-half.gguf'))).sha256).toBe(half?.files[0]?.sha256)
})
