import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { build, inProcess, splitting, type UnitExecutor } from '../../../src/build/index.js'
import { finish } from '../../../src/progress/index.js'
import { writeOneLayerSample } from '../../support/one-layer-sample.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-split-'))
  await writeOneLayerSample(join(folder, 'sample'))
  const outputs = 'small: { preset: Q4_K_M }\n      shards: { type: Q5_K, shards: 300kB }\n      copied: { type: F16 }'
  await writeFile(join(folder, 'build.yaml'), `models:\n  one:\n    source: sample\n    outputs:\n      ${outputs}\n`)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** Digests of all outputs, and notes on them, and how many units of each kind were run. */
async function run(work: string, partWeights?: number): Promise<{ outputs: unknown; counts: Map<string, number> }> {
  const counts = new Map<string, number>()
  const executor: Parameters<typeof build>[0]['executor'] = (place) => {
    const own = inProcess({ measured: join(folder, work, 'measured'), threads: 2 })
    const counted: UnitExecutor = {
      ...own,
      run(task) {
        counts.set(task.unit.kind, (counts.get(task.unit.kind) ?? 0) + 1)
        return own.run(task)
      },
    }
    return partWeights === undefined ? counted : splitting(counted, place, { partWeights })
  }
  const { report } = await finish(build({ file: join(folder, 'build.yaml'), work: join(folder, work), executor }))
  const outputs = report.models.flatMap(({ outputs: all }) => all.map(({ name, files, notes }) => ({ name, files, notes })))
  return { outputs, counts }
}

test('outputs in parts have the bytes of outputs in one piece, whatever the size of the parts', {
  timeout: 180_000,
}, async () => {
  const whole = await run('whole')
  expect(whole.counts.get('quantize-part')).toBeUndefined()
  const parts: number[] = []
  for (const weights of [100_000, 400_000]) {
    const { outputs, counts } = await run(`parts-${weights}`, weights)
    expect(outputs).toEqual(whole.outputs)
    parts.push(counts.get('quantize-part') ?? 0)
    const left = await readdir(join(folder, `parts-${weights}`, 'steps'))
    expect(left.filter((name) => name.startsWith('quantize-part-'))).toEqual([])
  }
  expect(parts[0]).toBeGreaterThan(parts[1] as number)
  expect(parts[1]).toBeGreaterThanOrEqual(6)
})
