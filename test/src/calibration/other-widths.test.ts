import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type CheckpointSpec, checkpointSpecs, writeCheckpointOf } from '../../../bench/coverage/checkpoints/index.js'
import { makeImatrix, openCalibration, readImportance } from '../../../src/calibration/index.js'
import { covarianceFrom } from '../../../src/covariance/index.js'
import { makeBlueprint } from '../../../src/model/convert/index.js'
import type { Blueprint } from '../../../src/model/index.js'
import { usefulChanges, widen } from '../../../src/model/widen/index.js'
import { planUniform } from '../../../src/plan/index.js'
import { finish } from '../../../src/progress/index.js'
import { asGguf, quantize } from '../../../src/quantize/index.js'
import { llama, samplePath } from '../../support/sample-models.js'

let folder = ''
const path = (name: string): string => join(folder, name)

/** A tiny model with its own widths and with larger ones, and what each was measured to have for inputs. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-other-widths-'))
  if (!llama.available) return
  await writeFile(path('text.txt'), (await readFile(samplePath('text/kjv-calibration.txt'), 'utf8')).slice(0, 20_000))
  const spec = checkpointSpecs.find(({ name }) => name === 'qwen3-moe') as CheckpointSpec
  const narrow = await makeBlueprint(await writeCheckpointOf(spec, path('model'), spec.classes[0]), { pre: spec.pre })
  for (const [name, model] of Object.entries({ narrow, wide: widen(narrow, usefulChanges(narrow)) })) {
    await finish(quantize({ blueprint: model, plan: planUniform(model, 'F32'), output: path(`${name}.gguf`), threads: 1 }))
    const files = { model: path(`${name}.gguf`), text: path('text.txt'), output: path(`${name}-imatrix.gguf`) }
    await finish(makeImatrix({ toGguf: asGguf, ...files, chunks: 4, contextLength: 64, threads: 1 }))
  }
}, 60_000)
afterAll(() => rm(folder, { recursive: true, force: true }))

/** Squares that differ by rounding alone. */
function expectNear(values: ArrayLike<number> | undefined, expected: ArrayLike<number> | undefined): void {
  expect(values?.length).toBe(expected?.length)
  const most = Math.max(...Array.from(expected ?? []))
  Array.from(expected ?? []).forEach((value, at) => expect(Math.abs((values?.[at] ?? 0) - value)).toBeLessThan(1e-4 * most))
}

describe.skipIf(!llama.available)(`what was measured of a model with other widths (${llama.name})`, () => {
  /** Compares both files' values of a model, and counts the tensors that have any. */
  const compared = async (of: string, other: string, isOwn: (model: Blueprint, name: string) => boolean): Promise<number> => {
    const model = await makeBlueprint(path(`${of}.gguf`))
    const own = await readImportance(path(`${of}-imatrix.gguf`), model)
    const placed = await readImportance(path(`${other}-imatrix.gguf`), model)
    expect(placed.notes.join()).toMatch(/was measured with the model .* widened/)
    const names = model.tensors.map(({ name }) => name).filter((name) => own.importance(name) !== undefined)
    for (const name of names.filter((name) => isOwn(model, name))) expectNear(placed.importance(name), own.importance(name))
    return names.length
  }

  test('serves it as importance, with the widths that the model had', async () => {
    expect(await compared('narrow', 'wide', () => true)).toBeGreaterThan(10)
    // New heads put out the mean of values, which a matrix of the narrow model cannot know.
    expect(await compared('wide', 'narrow', (_, name) => !name.includes('attn_output'))).toBeGreaterThan(10)
  })

  test.each([
    ['narrow', 'wide'],
    ['wide', 'narrow'],
  ])('serves %s as covariances, from %s', async (of, other) => {
    const model = await makeBlueprint(path(`${of}.gguf`))
    const [own, placed] = await Promise.all([of, other].map((name) => openCalibration(path(`${name}-imatrix.gguf`), model)))
    if (own === undefined || placed === undefined) throw new Error('two are opened')
    try {
      const unread = (): never => expect.fail('no weights are read')
      for (const name of ['blk.1.attn_q.weight', 'blk.1.ffn_down_exps.weight']) {
        const [a, b] = await Promise.all(
          [own, placed].map(async (calibration) => {
            const source = await calibration.source(calibration.inputOf(name, 0) as string)
            return await covarianceFrom(source, unread)
          }),
        )
        if (a === undefined || b === undefined || !('full' in a && 'full' in b)) throw new Error('whole covariances are expected')
        expectNear(b.full, a.full)
      }
      expect((await placed.heldOut(placed.inputOf('blk.1.attn_q.weight', 0) as string)).length).toBe(
        (await own.heldOut(own.inputOf('blk.1.attn_q.weight', 0) as string)).length,
      )
    } finally {
      await own.close()
      await placed.close()
    }
  })

  test('is refused where the columns of the file are not those that would have been added', async () => {
    const model = await makeBlueprint(path('narrow.gguf'))
    const other = widen(model, { embedding_length: 256 }, 8)
    await finish(quantize({ blueprint: other, plan: planUniform(other, 'F32'), output: path('other.gguf'), threads: 1 }))
    const files = { model: path('other.gguf'), text: path('text.txt'), output: path('other-imatrix.gguf') }
    await finish(makeImatrix({ toGguf: asGguf, ...files, chunks: 2, contextLength: 64, rank: 0, threads: 1 }))
    await expect(readImportance(path('other-imatrix.gguf'), model)).rejects.toMatchObject({ code: 'IMPORTANCE_MISMATCH' })
  })
})
