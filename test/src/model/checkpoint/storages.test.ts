import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Codec } from '../../../../formats/ggml/codec.js'
import { type SafetensorsDtype, writeSafetensors } from '../../../../formats/safetensors/index.js'
import { type Checkpoint, openCheckpoint } from '../../../../src/model/checkpoint/index.js'
import { evaluateRows, readRecipe } from '../../../../src/recipe/index.js'
import { openBlueprintFiles } from '../../../support/blueprint-files.js'

/** Tensors as a library packs them, and the weights that were packed: test/golden/storages/make.py. */
interface Case {
  readonly name: string
  readonly config: object
  readonly tensors: Readonly<Record<string, readonly [SafetensorsDtype, readonly number[], string]>>
  readonly weight: string
  readonly shape: readonly number[]
  readonly values: string
}

const golden = new URL('../../../golden/storages/storages.json', import.meta.url).pathname
const cases = JSON.parse(await readFile(golden, 'utf8')) as readonly Case[]

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-storages-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function open({ config, tensors }: Case, without?: string): Promise<Checkpoint> {
  await writeFile(join(folder, 'config.json'), JSON.stringify(config))
  const kept = Object.entries(tensors).filter(([name]) => name !== without)
  await writeSafetensors(join(folder, 'model.safetensors'), [
    ...kept.map(([name, [dtype, shape, data]]) => ({ name, dtype, shape, data: Buffer.from(data, 'base64') })),
    { name: 'norm.weight', dtype: 'F32', shape: [1], data: new Uint8Array(Float32Array.of(3).buffer) },
  ])
  return openCheckpoint(folder)
}

describe('weights are those that were packed, to the bit', () => {
  it.each(cases.map((one) => [one.name, one] as const))('%s', async (_, one) => {
    const checkpoint = await open(one)
    expect(checkpoint.names.toSorted()).toEqual([one.weight, 'norm.weight'])
    expect(checkpoint.shapeOf(one.weight)).toEqual(one.shape)
    const bytes = Buffer.from(one.values, 'base64')
    const expected = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
    const columns = one.shape.at(-1) ?? 1
    const rows = expected.length / columns
    await using files = await openBlueprintFiles(checkpoint)
    // As a worker gets it: through JSON, a few rows at a time.
    const recipe = readRecipe(JSON.parse(JSON.stringify(checkpoint.tensor(one.weight))))
    for (const step of [rows, 5]) {
      for (let row = 0; row < rows; row += step) {
        const end = Math.min(rows, row + step)
        const values = await evaluateRows(recipe, row, end, files.read, {} as Codec)
        expect(values).toEqual(expected.subarray(row * columns, end * columns))
      }
    }
  })
})

describe('a tensor that belongs to a weight and is missing', () => {
  const needed = cases.flatMap((one) =>
    Object.keys(one.tensors)
      .filter((name) => !/(?:input_scale|k_scale|weight_shape|weight_format|g_idx|zero_point)$/.test(name))
      .map((name) => [`${one.name}: ${name}`, one, name] as const),
  )
  it.each(needed)('%s is an error before any weight is read', async (_, one, name) => {
    const read = async (): Promise<unknown[]> => {
      const checkpoint = await open(one, name)
      return checkpoint.names.map((found) => checkpoint.tensor(found))
    }
    await expect(read()).rejects.toMatchObject({
      code: expect.stringMatching(/^(?:TENSOR_MISSING|TENSOR_SHAPE|STORAGE_UNSUPPORTED)$/) as string,
    })
  })
})
