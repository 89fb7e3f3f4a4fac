import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { atDiskSpeed, speedEstimateOf, speedEstimateText } from '../../../src/doctor/index.js'
import { runMq } from '../../support/run-mq.js'
import { llama, sampleModels } from '../../support/sample-models.js'

describe('mq doctor', () => {
  let models: Awaited<ReturnType<typeof sampleModels>>
  let model: string

  beforeAll(async () => {
    models = await sampleModels()
    model = await models.make('deepseek-kjv-moe', 'F16')
  })
  afterAll(() => models[Symbol.asyncDispose]())

  it('expects what the disk gives for the active weights that memory does not hold', async () => {
    const fits = atDiskSpeed(await speedEstimateOf(model, 1e9), 1e9)
    expect(fits).toMatchObject({ diskBytes: 0 })
    // a mixture of experts reads a part of itself
    expect(fits.activeBytes).toBeLessThan(0.7 * fits.fileBytes)
    const half = atDiskSpeed(await speedEstimateOf(model, fits.fileBytes / 2), 1e9)
    expect(half.diskBytes).toBeCloseTo(half.activeBytes / 2, 0)
    expect(half.mostTokensPerSecond).toBeCloseTo(1e9 / half.diskBytes, 6)
    expect(speedEstimateText(half)).toMatch(/come from the disk, .* at most about \d+ tokens\/s by the disk$/)
  })

  it('shows processor, memory, disk and builds', async () => {
    const { exitCode, stdout } = await runMq(['doctor', model, '--json'])
    const found = JSON.parse(stdout)
    expect(exitCode).toBe(0)
    expect(found).toMatchObject({ memory: { totalBytes: expect.any(Number) }, speedEstimate: { diskBytes: 0 } })
    expect(found.disk.bytesPerSecond).toBeGreaterThan(1e6)
    if (!llama.available) return
    expect(found.builds[0]).toMatchObject({ devices: expect.arrayContaining([expect.objectContaining({ kind: 'cpu' })]) })
    expect(found.builds[0].architectures).toBeGreaterThan(100)
  })
})
