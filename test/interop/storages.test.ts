import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Codec } from '../../formats/ggml/codec.js'
import { type SafetensorsDtype, writeSafetensors } from '../../formats/safetensors/index.js'
import { openCheckpoint } from '../../src/model/checkpoint/index.js'
import { evaluateRows, rowCount } from '../../src/recipe/index.js'
import { openBlueprintFiles } from '../support/blueprint-files.js'
import { python } from '../support/python.js'

/** A matrix as a library packs it, and as it unpacks it again. */
interface Case {
  readonly name: string
  readonly library: string
  readonly config: object
  readonly tensors: Readonly<Record<string, readonly [SafetensorsDtype, readonly number[], string]>>
  readonly weight: string
  readonly values: string
  /** Whether the library rounds its values to BF16. */
  readonly isBfloat: boolean
}

const [script, golden] = ['./storages.py', '../golden/storages/storages.json'].map(
  (name) => new URL(name, import.meta.url).pathname,
) as [string, string]
/** What the libraries give; their kernels and tables are those of the machine, so that nothing is kept. */
async function run(): Promise<readonly Case[]> {
  const folder = await mkdtemp(join(tmpdir(), 'mq-libraries-'))
  try {
    await copyFile(golden, join(folder, 'storages.json'))
    return JSON.parse(await python.run(script, ['storages.json'], folder)) as Case[]
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

const cases = python.available ? await run() : []

describe.skipIf(!python.available)(`the values that a storage's own library gives (${python.name})`, () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mq-libraries-'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  it.each(cases.map((one) => [`${one.library}: ${one.name}`, one] as const))('%s', async (_, one) => {
    await writeFile(join(folder, 'config.json'), JSON.stringify(one.config))
    const tensors = Object.entries(one.tensors).map(([name, [dtype, shape, data]]) => ({
      name,
      dtype,
      shape,
      data: Buffer.from(data, 'base64'),
    }))
    await writeSafetensors(join(folder, 'model.safetensors'), tensors)
    const checkpoint = await openCheckpoint(folder)
    const recipe = checkpoint.tensor(one.weight)
    await using files = await openBlueprintFiles(checkpoint)
    const found = await evaluateRows(recipe, 0, rowCount(recipe), files.read, {} as Codec)
    const bytes = Buffer.from(one.values, 'base64')
    const expected = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength))
    expect(found.length).toBe(expected.length)
    // One unit in the last place of F32, or half of one of BF16 where the library rounds to that.
    const limit = one.isBfloat ? 2 ** -8 : 2 ** -23
    const worst = found.reduce(
      (most, value, at) => Math.max(most, Math.abs(value - (expected[at] as number)) / Math.max(Math.abs(value), 1e-30)),
      0,
    )
    expect(worst).toBeLessThanOrEqual(limit)
  })
})
