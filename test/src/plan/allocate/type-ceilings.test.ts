import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Codec, openCodec } from '../../../../formats/ggml/codec.js'
import { ggmlType } from '../../../../formats/ggml/types.js'
import { type SafetensorsDtype, writeSafetensors } from '../../../../formats/safetensors/index.js'
import { type Checkpoint, openCheckpoint } from '../../../../src/model/checkpoint/index.js'
import type { Blueprint } from '../../../../src/model/index.js'
import { makePlan, type Plan, typicalMeasure } from '../../../../src/plan/index.js'
import { finish } from '../../../../src/progress/index.js'
import { bitsPerValue, evaluateRows, type Recipe } from '../../../../src/recipe/index.js'
import { openBlueprintFiles } from '../../../support/blueprint-files.js'

/** Weights as the libraries of each storage pack them: test/golden/storages/make.py. */
interface Case {
  readonly name: string
  readonly config: object
  readonly tensors: Readonly<Record<string, readonly [SafetensorsDtype, readonly number[], string]>>
  readonly weight: string
  readonly shape: readonly number[]
}

const golden = new URL('../../../golden/storages/storages.json', import.meta.url)
const cases = JSON.parse(await readFile(golden, 'utf8')) as readonly Case[]

let folder: string
let codec: Codec
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-held-types-'))
  codec = await openCodec()
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function open({ config, tensors }: Case): Promise<Checkpoint> {
  await writeFile(join(folder, 'config.json'), JSON.stringify(config))
  const stored = Object.entries(tensors).map(([name, [dtype, shape, data]]) => ({
    name,
    dtype,
    shape,
    data: Buffer.from(data, 'base64'),
  }))
  await writeSafetensors(join(folder, 'model.safetensors'), stored)
  return openCheckpoint(folder)
}

/** Two matrices of a model: one in the storage, one plain. */
function modelOf(checkpoint: Checkpoint, recipe: Recipe): Blueprint {
  const { shape } = recipe
  const plain: Recipe = { op: 'constant', values: [], shape: [64, 256] }
  const matrix = { keepF32: false, layer: 0 } as const
  return {
    architecture: 'llama',
    layers: 1,
    experts: 0,
    metadata: new Map(),
    files: checkpoint.files,
    tensors: [
      { ...matrix, name: 'blk.0.ffn_down.weight', role: 'ffn-down', shape, recipe },
      { ...matrix, name: 'blk.0.ffn_up.weight', role: 'ffn-up', shape: plain.shape, recipe: plain },
    ],
    sourceType: 'BF16',
    notes: [],
  }
}

const planOf = (blueprint: Blueprint, bits: number): Promise<Plan> =>
  finish(makePlan(blueprint, { kind: 'bits', bits }, { measure: typicalMeasure }))

describe('a budget spends no more on a tensor than the checkpoint holds of it, and half a bit for scales', () => {
  it.each(cases.map((one) => [one.name, one] as const))('%s', async (_, one) => {
    const checkpoint = await open(one)
    const recipe = checkpoint.tensor(one.weight)
    const elements = one.shape.reduce((product, size) => product * size, 1)
    const held = bitsPerValue(recipe)
    const stored = Object.values(one.tensors).reduce((sum, [, , data]) => sum + Buffer.from(data, 'base64').byteLength, 0)
    // Some files hold more than the values need: shapes, descriptions, scales of activations.
    expect(held).toBeGreaterThan(1.9)
    expect(held).toBeLessThanOrEqual((8 * stored) / elements)
    const { tensors, notes } = await planOf(modelOf(checkpoint, recipe), 15.9)
    const [weight, plain] = tensors
    const bits = ggmlType(weight?.type ?? 'F32').bitsPerWeight
    // Plain weights are not limited.
    expect(ggmlType(plain?.type ?? 'F32').bitsPerWeight).toBeGreaterThan(8)
    if (held >= 15.9) return
    expect(bits).toBeLessThan(Math.max(held + 0.5, 4.501))
    if (weight?.type !== 'MXFP4') expect(notes.join()).toContain('The source is quantized already (1 of ')
  })
})

describe('MXFP4 of a checkpoint', () => {
  it.each(cases.filter(({ name }) => name.includes('MXFP4')).map((one) => [one.name, one] as const))(
    'is kept without loss: %s',
    async (_, one) => {
      const checkpoint = await open(one)
      const recipe = checkpoint.tensor(one.weight)
      const { tensors, notes } = await planOf(modelOf(checkpoint, recipe), 15)
      expect(tensors[0]).toMatchObject({ type: 'MXFP4', relativeError: 0 })
      expect(notes.join()).not.toContain('quantized already')
      await using files = await openBlueprintFiles(checkpoint)
      const columns = one.shape.at(-1) as number
      const rows = one.shape.slice(0, -1).reduce((product, size) => product * size, 1)
      const values = await evaluateRows(recipe, 0, rows, files.read, codec)
      const blocks = codec.quantize('MXFP4', values, columns)
      const back = new Float32Array(values.length)
      codec.dequantize('MXFP4', blocks, values.length, back)
      // Where -0 is stored, 0 comes back.
      expect(back.map((value) => value + 0)).toEqual(values.map((value) => value + 0))
    },
  )
})
