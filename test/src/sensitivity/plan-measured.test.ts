import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { planBits, planType } from '../../../src/allocate/index.js'
import type { Blueprint, TensorRole } from '../../../src/blueprint.js'
import { makeBlueprint } from '../../../src/convert/index.js'
import type { Plan } from '../../../src/plan.js'
import { finish, type WithProgress } from '../../../src/progress.js'
import { openJudge } from '../../../src/sensitivity/judge.js'
import { judgeText } from '../../../src/sensitivity/judge-text.js'
import { planMeasured } from '../../../src/sensitivity/plan-measured.js'
import { llama, samplePath } from '../../support/sample-models.js'
import { temporaryFolder } from '../../support/tiny-model.js'

/** Most weights stay F32; the others have 2.7 bits. */
const bits = 22.43
const probedRoles = new Set<TensorRole>(['output', 'ffn-down'])

/** Its first three blocks, of which only some roles may be quantized: as few models to run as show all depths. */
async function shortLlama(): Promise<Blueprint> {
  const whole = await makeBlueprint(samplePath('llama-kjv'))
  const tensors = whole.tensors
    .filter(({ layer = 0 }) => layer < 3)
    .map((tensor) => ({ ...tensor, keepF32: !probedRoles.has(tensor.role) }))
  const metadata = new Map(whole.metadata).set('llama.block_count', { type: 'uint32', value: 3 })
  return { ...whole, layers: 3, metadata, tensors }
}

describe.skipIf(!llama.available)(`planMeasured with ${llama.name}`, () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>
  let blueprint: Blueprint
  let text: string

  beforeAll(async () => {
    folder = await temporaryFolder()
    blueprint = await shortLlama()
    text = (await readFile(samplePath('text/kjv-calibration.txt'), 'utf8')).slice(-2000)
  })
  afterAll(() => folder[Symbol.asyncDispose]())

  const make = (choice: Parameters<Parameters<typeof planMeasured>[1]>[0]): WithProgress<Plan> =>
    planBits(blueprint, { bits, ...choice })

  it('keeps within the budget and is no further from the model than the plan without probes; probes are run once', async () => {
    const options = { text, cacheFolder: folder.path, threads: 1 }
    const probed: string[] = []
    const plan = await finish(planMeasured(blueprint, make, options), ({ stage, item }) => {
      if (stage === 'probe' && item !== undefined) probed.push(item)
    })
    expect(plan.bitsPerWeight).toBeLessThanOrEqual(bits)
    expect(probed).toContain('ffn-down, first block')
    // The output, and one role at three depths, after the base.
    expect(probed).toHaveLength(1 + 1 + 3)

    const again: string[] = []
    const same = await finish(planMeasured(blueprint, make, options), ({ stage }) => again.push(stage))
    expect(again).not.toContain('probe')
    expect(same).toEqual(plan)

    const unprobed = await finish(planBits(blueprint, { bits }))
    const judge = await finish(openJudge(blueprint, planType(blueprint, 'BF16'), judgeText(text), folder.path, { threads: 1 }))
    const mean = async (judged: Plan): Promise<number> => {
      const chunks = await finish(judge.divergence(blueprint, judged))
      return chunks.reduce((sum, one) => sum + one, 0) / chunks.length
    }
    expect(await mean(plan)).toBeLessThanOrEqual(await mean(unprobed))
  }, 120_000)
})
