import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { GgmlTypeName } from '../../../../formats/ggml/types.js'
import { makeImatrix, openCalibration } from '../../../../src/calibration/index.js'
import { makeBlueprint } from '../../../../src/model/convert/index.js'
import type { Blueprint } from '../../../../src/model/index.js'
import { measureAll, parseTensorTypes, planBits, type TypeErrors } from '../../../../src/plan/allocate/index.js'
import type { Plan } from '../../../../src/plan/plan.js'
import { planUniform } from '../../../../src/plan/plan-uniform.js'
import { finish, type WithProgress } from '../../../../src/progress/index.js'
import { asGguf } from '../../../../src/quantize/as-gguf.js'
import { quantize } from '../../../../src/quantize/quantize.js'
import { loadModel } from '../../../../src/runner/index.js'
import { divergenceOf } from '../../../../src/verify/index.js'
import { llama, samplePath } from '../../../support/sample-models.js'
import { temporaryFolder } from '../../../support/tiny-model.js'

const embedding = 'token_embd.weight'
/** What the embedding can have. */
const types: readonly GgmlTypeName[] = ['Q3_K', 'Q4_K', 'Q5_K']
/**
 * Budgets in bits per weight, the types tried there, and the best of them as measured. At 3.9 a larger type than the best fits, too; at 4.1
 * the smaller one is what a plan takes that counts the output matrix's inputs alone and not those of the embedding.
 */
const budgets: readonly (readonly [number, readonly GgmlTypeName[], GgmlTypeName])[] = [
  [3.9, types, 'Q4_K'],
  [4.1, ['Q4_K', 'Q5_K'], 'Q5_K'],
]

describe.skipIf(!llama.available)(`an embedding that is the output matrix too (${llama.name})`, () => {
  it('gets the type under a budget with which the model diverges least', { timeout: 300_000 }, async () => {
    await using folder = await temporaryFolder()
    const at = (name: string): string => join(folder.path, name)
    const blueprint = await tiedModel(at('bf16.gguf'))
    const text = await readFile(samplePath('text/kjv-calibration.txt'), 'utf8')
    await writeFile(at('calibration.txt'), text.slice(0, 60_000))
    const options = { contextLength: 128, chunks: 12, toGguf: asGguf }
    const made = { model: at('bf16.gguf'), text: at('calibration.txt'), output: at('imatrix.gguf'), ...options }
    await finish(makeImatrix(made))
    const heldOut = text.slice(-20_000)
    {
      await using model = await loadModel(at('bf16.gguf'))
      await finish(model.saveLogits(at('base.logits'), heldOut, { contextLength: 128, chunks: 8 }))
    }
    const calibration = await openCalibration(at('imatrix.gguf'), blueprint)
    try {
      const known = { importance: calibration.importance, calibration, threads: 1 }
      const writable = (type: GgmlTypeName): boolean => type === 'Q2_K' || types.includes(type)
      const errors = await finish(measureAll(blueprint, { ...known, writable }))
      const planOf = async (bits: number, ...tensorTypes: string[]): Promise<Plan> => {
        const shared = { ...known, writable, measure: () => justThese(errors) }
        return await finish(planBits(blueprint, { ...shared, bits, overrides: parseTensorTypes(tensorTypes) }))
      }
      for (const [bits, tried, expected] of budgets) {
        const chosen = (await planOf(bits)).tensors.find(({ name }) => name === embedding)?.type
        const divergences = new Map<GgmlTypeName, number>()
        for (const type of tried) {
          const plan = await planOf(bits, `${embedding}=${type}`)
          await finish(quantize({ blueprint, plan, output: at('tried.gguf'), force: true, effort: 'fast', ...known }))
          await using model = await loadModel(at('tried.gguf'))
          divergences.set(type, divergenceOf(await finish(model.compareLogits(at('base.logits'), heldOut))).kld.mean.value)
        }
        const [best] = [...divergences].toSorted(([, a], [, b]) => a - b)[0] ?? []
        expect({ bits, best, chosen }).toEqual({ bits, best: expected, chosen: expected })
      }
    } finally {
      await calibration.close()
    }
  })
})

/** The first block of a sample between its embedding and, in place of its output matrix, the embedding again: a function of its own. */
async function tiedModel(output: string): Promise<Blueprint> {
  const sample = await makeBlueprint(samplePath('llama-kjv'))
  const metadata = new Map(sample.metadata).set('llama.block_count', { type: 'uint32', value: 1 })
  const tensors = sample.tensors.filter(({ role, layer = 0 }) => role !== 'output' && layer === 0)
  const tied = { ...sample, layers: 1, metadata, tensors }
  await finish(quantize({ blueprint: tied, plan: planUniform(tied, 'BF16'), output }))
  return await makeBlueprint(output)
}

async function* justThese(errors: TypeErrors): WithProgress<TypeErrors> {
  yield { stage: 'measure', done: 1, total: 1, unit: 'tensors' }
  return errors
}
