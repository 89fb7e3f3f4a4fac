import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { planBits, planType } from '../../../src/allocate/index.js'
import type { Blueprint } from '../../../src/blueprint.js'
import { makeBlueprint } from '../../../src/convert/index.js'
import type { Plan } from '../../../src/plan.js'
import { finish, type WithProgress } from '../../../src/progress.js'
import { openJudge } from '../../../src/sensitivity/judge.js'
import { planMeasured } from '../../../src/sensitivity/plan-measured.js'
import { llama, samplePath } from '../../support/sample-models.js'
import { temporaryFolder } from '../../support/tiny-model.js'

const bits = 2.6

describe.skipIf(!llama.available)(`planMeasured with ${llama.name}`, () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>
  let blueprint: Blueprint
  let text: string

  beforeAll(async () => {
    folder = await temporaryFolder()
    blueprint = await makeBlueprint(samplePath('llama-kjv'))
    text = (await readFile(samplePath('text/kjv-calibration.txt'), 'utf8')).slice(-4000)
  })
  afterAll(() => folder[Symbol.asyncDispose]())

  const make = (choice: Parameters<Parameters<typeof planMeasured>[1]>[0]): WithProgress<Plan> =>
    planBits(blueprint, { bits, ...choice })

  it('keeps within the budget and is no further from the model than the plan without probes; probes are run once', async () => {
    const options = { text, cacheFolder: folder.path, threads: 2 }
    const probed: string[] = []
    const plan = await finish(planMeasured(blueprint, make, options), ({ stage, item }) => {
      if (stage === 'probe' && item !== undefined) probed.push(item)
    })
    expect(plan.bitsPerWeight).toBeLessThanOrEqual(bits)
    expect(probed).toContain('ffn-down, first block')
    // Output, embedding, and seven roles at three depths, after the base.
    expect(probed).toHaveLength(1 + 2 + 7 * 3)

    const again: string[] = []
    const same = await finish(planMeasured(blueprint, make, options), ({ stage }) => again.push(stage))
    expect(again).not.toContain('probe')
    expect(same).toEqual(plan)

    const unprobed = await finish(planBits(blueprint, { bits }))
    const judge = await finish(openJudge(blueprint, planType(blueprint, 'BF16'), text, folder.path, {}))
    const mean = async (judged: Plan): Promise<number> => {
      const chunks = await finish(judge.divergence(blueprint, judged))
      return chunks.reduce((sum, one) => sum + one, 0) / chunks.length
    }
    expect(await mean(plan)).toBeLessThan(1.05 * (await mean(unprobed)))
  }, 120_000)
})
