import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Blueprint, makeBlueprint } from '../../../src/model/index.js'
import { makePlan, type Plan } from '../../../src/plan/index.js'
import { finish } from '../../../src/progress/index.js'
import { evenRanges } from '../../../src/quantize/array-parts.js'
import { assembleParts, quantize, quantizePart } from '../../../src/quantize/index.js'
import { writeOneLayerSample } from '../../support/one-layer-sample.js'

let folder: string
let blueprint: Blueprint
let plan: Plan
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-array-'))
  await writeOneLayerSample(join(folder, 'sample'))
  blueprint = await makeBlueprint(join(folder, 'sample'))
  plan = await finish(makePlan(blueprint, { kind: 'preset', preset: 'Q4_K_M' }))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test.each([1, 3, 40])('%i parts have the bytes of one run, in any order', { timeout: 60_000 }, async (of) => {
  const whole = join(folder, `whole-${of}`, 'out.gguf')
  const parts = join(folder, `parts-${of}`, 'out.gguf')
  const shared = { blueprint, plan, threads: 1, splitMaxBytes: 300_000 }
  for (const name of ['whole', 'parts']) await mkdir(join(folder, `${name}-${of}`))
  const { files } = await finish(quantize({ ...shared, output: whole }))
  expect(files.length).toBeGreaterThan(1)
  for (let number = of; number >= 1; number -= 1) {
    expect((await finish(quantizePart({ ...shared, output: parts }, { number, of }))).known).toBe(false)
  }
  expect((await finish(quantizePart({ ...shared, output: parts }, { number: 1, of }))).known).toBe(true)
  const assembled = await finish(assembleParts({ ...shared, output: parts }, of))
  expect(assembled.files).toHaveLength(files.length)
  for (const [index, file] of files.entries()) {
    expect((await readFile(assembled.files[index] as string)).equals(await readFile(file))).toBe(true)
  }
  // Nothing of the parts is left.
  expect((await readdir(join(folder, `parts-${of}`))).toSorted()).toEqual((await readdir(join(folder, `whole-${of}`))).toSorted())
})

test('parts that are missing, of another plan, or changed are refused, all at once', async () => {
  const output = join(folder, 'refused.gguf')
  const options = { blueprint, plan, threads: 1, output }
  const other = await finish(makePlan(blueprint, { kind: 'preset', preset: 'Q5_K_M' }))
  await finish(quantizePart({ ...options, plan: other }, { number: 1, of: 4 }))
  await finish(quantizePart(options, { number: 2, of: 4 }))
  await finish(quantizePart(options, { number: 3, of: 4 }))
  const changed = `${output}.part-3-of-4`
  const bytes = await readFile(changed)
  bytes[100] = (bytes[100] as number) ^ 1
  await writeFile(changed, bytes)
  await expect(finish(assembleParts(options, 4))).rejects.toMatchObject({
    code: 'PARTS_UNUSABLE',
    details: {
      problem: '1 of another plan, source, calibration or version of mq; 3 changed since written; 4 not there, or not whole',
    },
  })
  // A part of another plan is made again.
  expect((await finish(quantizePart(options, { number: 1, of: 4 }))).known).toBe(false)
  await finish(quantizePart(options, { number: 4, of: 4 }))
  // One that was changed is found while it is copied.
  await expect(finish(assembleParts(options, 4))).rejects.toMatchObject({
    code: 'PARTS_UNUSABLE',
    details: { problem: '3 changed since written', first: 3 },
  })
  const left = await readdir(dirname(output))
  expect(left.filter((name) => name === basename(output) || name === `${basename(output)}.partial`)).toEqual([])
  await finish(quantizePart({ ...options, fresh: true }, { number: 3, of: 4 }))
  expect((await finish(assembleParts(options, 4))).path).toBe(output)
})

test('ranges cover all tasks, about evenly', () => {
  expect(evenRanges([1, 1, 1, 1], 2)).toEqual([
    { first: 0, end: 2 },
    { first: 2, end: 4 },
  ])
  expect(evenRanges([8, 1, 1], 3)).toEqual([
    { first: 0, end: 0 },
    { first: 0, end: 1 },
    { first: 1, end: 3 },
  ])
  expect(evenRanges([1], 3).map(({ first, end }) => end - first)).toEqual([0, 1, 0])
})
