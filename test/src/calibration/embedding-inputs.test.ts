import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { fileSource } from '../../../formats/byte-source.js'
import { openCodec } from '../../../formats/ggml/codec.js'
import type { Blueprint } from '../../../src/model/blueprint.js'
import { makeBlueprint } from '../../../src/model/convert/index.js'
import { makePlan, planUniform, typicalMeasure } from '../../../src/plan/index.js'
import type { Plan } from '../../../src/plan/plan.js'
import { finish } from '../../../src/progress/index.js'
import { quantize } from '../../../src/quantize/index.js'
import { evaluateRows, rowLength } from '../../../src/recipe/index.js'
import { samplePath } from '../../support/sample-models.js'
import { temporaryFolder } from '../../support/tiny-model.js'

const request = { kind: 'type', type: 'F16', tensorTypes: ['token_embd=Q2_K'] } as const
const planOf = (blueprint: Blueprint, damping?: number): Promise<Plan> => finish(makePlan(blueprint, request, { damping }))

async function rowsOf({ tensors, files }: Blueprint, name: string, count: number): Promise<Float32Array[]> {
  const tensor = tensors.find((one) => one.name === name)
  if (tensor === undefined) throw new Error(name)
  const read = async ({ file, start, end }: { file: number; start: number; end: number }): Promise<Uint8Array> => {
    const source = await fileSource(files[file] ?? '')
    try {
      return await source.slice(start, end)
    } finally {
      await source.close()
    }
  }
  const values = await evaluateRows(tensor.recipe, 0, count, read, await openCodec())
  const columns = rowLength(tensor)
  return Array.from({ length: count }, (_, row) => values.subarray(row * columns, (row + 1) * columns))
}

describe('the inputs of the embedding', () => {
  it.each([
    ['llama-kjv', ['attn_q', 'attn_k', 'attn_v']],
    ['deepseek-kjv-moe', ['attn_q_a', 'attn_kv_a_mqa']],
  ] as const)(
    'without a calibration, brings what the first block of %s makes of errors under two thirds',
    async (sample, names) => {
      await using folder = await temporaryFolder()
      const blueprint = await makeBlueprint(samplePath(sample))
      const stored = blueprint.tensors.map(({ name, shape }) => ({ name, rows: shape[0] ?? 0 }))
      const heard = async (damping?: number): Promise<readonly number[]> => {
        const output = join(folder.path, `${damping}.gguf`)
        const plan = await planOf(blueprint, damping)
        await finish(quantize({ blueprint, plan, output, threads: 1 }))
        const written = await makeBlueprint(output)
        const [before, after] = [await rowsOf(blueprint, 'token_embd.weight', 64), await rowsOf(written, 'token_embd.weight', 64)]
        const [norm = []] = await rowsOf(blueprint, 'blk.0.attn_norm.weight', 1)
        const errors = before.map((row, at) => row.map((value, i) => ((after[at]?.[i] ?? 0) - value) * (norm[i] ?? 0)))
        return await Promise.all(
          names.map(async (short) => {
            const name = `blk.0.${short}.weight`
            const weights = await rowsOf(blueprint, name, stored.find((one) => one.name === name)?.rows ?? 0)
            const products = errors.flatMap((error) =>
              weights.map((row) => row.reduce((sum, w, i) => sum + w * (error[i] ?? 0), 0)),
            )
            return products.reduce((sum, product) => sum + product ** 2, 0)
          }),
        )
      }
      const [without, fed] = [await heard(0), await heard()]
      for (const [at, power] of fed.entries()) expect(power).toBeLessThan((2 / 3) * (without[at] ?? 0))
    },
  )

  it('says in a plan how the embedding alone is damped, and ties the plan to no calibration', async () => {
    const blueprint = await makeBlueprint(samplePath('llama-kjv'))
    for (const [asked, damping] of [
      [undefined, 0.3],
      [0, 0],
      [0.7, 0.7],
    ] as const) {
      const plan = await planOf(blueprint, asked)
      expect(plan.calibration).toBeUndefined()
      expect(plan.tensors.filter((line) => line.damping !== undefined).map(({ name, damping: own }) => [name, own])).toEqual([
        ['token_embd.weight', damping],
      ])
    }
  })

  it('are left alone by a plain conversion, as by the converter of llama.cpp, and by a plan without weights', async () => {
    const blueprint = await makeBlueprint(samplePath('llama-kjv'))
    expect(new Set(planUniform(blueprint, 'Q8_0').tensors.map(({ damping }) => damping))).toEqual(new Set([0]))
    const headersAlone = await finish(makePlan(blueprint, { kind: 'bits', bits: 4 }, { measure: typicalMeasure }))
    expect(headersAlone.tensors.filter((line) => line.damping !== undefined)).toEqual([])
  })
})
