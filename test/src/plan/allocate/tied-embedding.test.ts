import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { GgmlTypeName } from '../../../../formats/ggml/types.js'
import { makeImatrix, openCalibration } from '../../../../src/calibration/index.js'
import { makeBlueprint } from '../../../../src/model/convert/index.js'
import { measureAll, parseTensorTypes, planBits, type TypeErrors } from '../../../../src/plan/allocate/index.js'
import { planUniform } from '../../../../src/plan/plan-uniform.js'
import { finish, type WithProgress } from '../../../../src/progress/index.js'
import { asGguf } from '../../../../src/quantize/as-gguf.js'
import { quantize } from '../../../../src/quantize/quantize.js'
import { loadModel } from '../../../../src/runner/index.js'
import { divergenceOf } from '../../../../src/verify/index.js'
import { llama, samplePath } from '../../../support/sample-models.js'
import { temporaryFolder } from '../../../support/tiny-model.js'

const embedding = 'token_embd.weight'
const bits = 3.3
/** What the embedding could have instead; it had the first when only the head's metric counted. */
const others = ['Q3_K', 'Q4_K', 'Q6_K'] as const
/** Enough types to share bits out, and few enough to be measured in no time. */
const writable = (type: GgmlTypeName): boolean => ['Q2_K', 'Q3_K', 'Q4_K', 'Q5_K', 'Q6_K', 'Q8_0'].includes(type)

describe.skipIf(!llama.available)(`an embedding that is the output matrix too (${llama.name})`, () => {
  it('gets a type under a budget with which the model is within a fifth of the best of those tried', {
    timeout: 300_000,
  }, async () => {
    await using folder = await temporaryFolder()
    const at = (name: string): string => join(folder.path, name)
    // The head goes, so that the embedding gives the logits: a function of its own, to be kept as it is.
    const sample = await makeBlueprint(samplePath('llama-kjv'))
    const tied = { ...sample, tensors: sample.tensors.filter(({ role }) => role !== 'output') }
    await finish(quantize({ blueprint: tied, plan: planUniform(tied, 'BF16'), output: at('bf16.gguf') }))
    const blueprint = await makeBlueprint(at('bf16.gguf'))
    const text = await readFile(samplePath('text/kjv-calibration.txt'), 'utf8')
    await writeFile(at('calibration.txt'), text.slice(0, 60_000))
    const options = { contextLength: 128, chunks: 24, toGguf: asGguf }
    const made = { model: at('bf16.gguf'), text: at('calibration.txt'), output: at('imatrix.gguf'), ...options }
    await finish(makeImatrix(made))
    const heldOut = text.slice(-20_000)
    {
      await using model = await loadModel(at('bf16.gguf'))
      await finish(model.saveLogits(at('base.logits'), heldOut, { contextLength: 128, chunks: 8 }))
    }
    const calibration = await openCalibration(at('imatrix.gguf'), blueprint)
    try {
      const known = { importance: calibration.importance, calibration }
      const errors = await finish(measureAll(blueprint, { ...known, writable }))
      const divergence = async (...tensorTypes: string[]): Promise<number> => {
        const shared = { ...known, writable, measure: () => justThese(errors) }
        const plan = await finish(planBits(blueprint, { ...shared, bits, overrides: parseTensorTypes(tensorTypes) }))
        await finish(quantize({ blueprint, plan, output: at('tried.gguf'), force: true, ...known }))
        await using model = await loadModel(at('tried.gguf'))
        return divergenceOf(await finish(model.compareLogits(at('base.logits'), heldOut))).kld.mean.value
      }
      const chosen = await divergence()
      const tried: number[] = []
      for (const type of others) tried.push(await divergence(`${embedding}=${type}`))
      expect(chosen).toBeLessThan(1.2 * Math.min(...tried))
      expect(chosen).toBeLessThan(0.8 * (tried[0] as number))
    } finally {
      await calibration.close()
    }
  })
})

async function* justThese(errors: TypeErrors): WithProgress<TypeErrors> {
  yield { stage: 'measure', done: 1, total: 1, unit: 'tensors' }
  return errors
}
