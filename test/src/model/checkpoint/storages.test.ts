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

describe('a tensor of another shape than its weight needs', () => {
  const scales = /scale$|_scale_2$|_scale_inv$|_global_scale$|absmax$|SCB$|_scales$|\.scales$|quant_map$|g_idx$/
  const changed = cases.flatMap((one) =>
    Object.entries(one.tensors)
      .filter(([name]) => scales.test(name) && !/(?:input|k)_scale$/.test(name))
      .flatMap(([name, [dtype, shape, data]]) => {
        const count = shape.reduce((product, size) => product * size, 1)
        const bytes = Buffer.from(data, 'base64')
        const twice = Buffer.concat([bytes, bytes]).toString('base64')
        const doubled = [...shape.slice(0, -1), 2 * (shape.at(-1) ?? 1)]
        const none = [dtype, [0], ''] as const
        const double = [dtype, doubled, twice] as const
        const single = [dtype, [1], bytes.subarray(0, bytes.length / count).toString('base64')] as const
        const forms = count === 1 ? { none, double } : { none, double, single }
        return Object.entries(forms).map(([form, tensor]) => {
          return [`${one.name}: ${name}, ${form}`, { ...one, tensors: { ...one.tensors, [name]: tensor } }] as const
        })
      }),
  )
  it.each(changed)('%s is an error before any weight is read', async (_, one) => {
    const read = async (): Promise<unknown> => {
      const checkpoint = await open(one)
      return [checkpoint.tensor(one.weight), checkpoint.shapeOf(one.weight)?.join(' ') ?? '']
    }
    // A config.json of the whole model says how many inputs a matrix has, where g_idx does not.
    const outcome = await read().catch((error: unknown) => error)
    if (Array.isArray(outcome)) expect(outcome[1]).not.toBe(one.shape.join(' '))
    else expect(outcome).toMatchObject({ code: expect.stringMatching(/^(?:TENSOR_SHAPE|STORAGE_UNSUPPORTED)$/) as string })
  })

  it('GPTQ: groups of another size than config.json says, unless modules may have their own', async () => {
    const one = cases.find(({ name }) => name === 'GPTQ 4 bits, gptq') as Case
    const quantization = (one.config as { quantization_config: object }).quantization_config
    const other = { ...one, config: { quantization_config: { ...quantization, group_size: 32 } } }
    await expect(open(other)).rejects.toMatchObject({
      message: 'The tensor l.scales has the shape [4, 16], but config.json implies 2 groups of 32.',
    })
    const own = { ...one, config: { quantization_config: { ...quantization, group_size: 32, dynamic: {} } } }
    expect((await open(own)).shapeOf('l.weight')).toEqual(one.shape)
  })

  it('GPTQ: other bits than config.json says', async () => {
    const one = cases.find(({ name }) => name === 'GPTQ 4 bits, gptq') as Case
    const quantization = (one.config as { quantization_config: object }).quantization_config
    const other = { ...one, config: { quantization_config: { ...quantization, bits: 8 } } }
    await expect(open(other)).rejects.toMatchObject({
      message: expect.stringContaining('8 bits for each of 64 inputs') as string,
    })
  })
})

describe('codes of 8-bit floats', () => {
  const one = cases.find(({ name }) => name === 'compressed-tensors, float8 by row') as Case
  const [, shape, data] = one.tensors['l.weight'] as Case['tensors'][string]

  it('that were saved as integers are refused', async () => {
    const integers = { ...one, tensors: { ...one.tensors, 'l.weight': ['I8', shape, data] as const } }
    await expect(open(integers)).rejects.toMatchObject({ message: expect.stringContaining('I8 (tensor l.weight)') as string })
  })

  it('of a matrix without scales beside others that have them are refused', async () => {
    const checkpoint = await open({ ...one, tensors: { ...one.tensors, 'other.weight': ['F8_E4M3', shape, data] } })
    expect(() => checkpoint.tensor('other.weight')).toThrow('no tensor other.weight_scale')
  })
})
