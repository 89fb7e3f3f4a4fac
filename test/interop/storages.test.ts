import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Codec } from '../../formats/ggml/codec.js'
import { type SafetensorsDtype, writeSafetensors } from '../../formats/safetensors/index.js'
import { openCheckpoint } from '../../src/model/checkpoint/index.js'
import { evaluateRows, rowCount } from '../../src/recipe/index.js'
import { openBlueprintFiles } from '../support/blueprint-files.js'

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
)
/** Python with bitsandbytes, compressed-tensors and torch: $MQ_PEFT_PYTHON, else python3. */
const python = process.env['MQ_PEFT_PYTHON'] ?? 'python3'

function run(): readonly Case[] | undefined {
  const found =
    'import importlib.util as u; exit(sum(u.find_spec(m) is None for m in ("bitsandbytes", "compressed_tensors", "torch")))'
  try {
    execFileSync(python, ['-c', found], { stdio: 'ignore' })
  } catch {
    return undefined
  }
  const output = execFileSync(python, [script ?? '', golden ?? ''], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: 120_000,
    maxBuffer: 2 ** 26,
  })
  return JSON.parse(output) as Case[]
}

const cases = run()
const why = cases === undefined ? ` (SKIPPED, ${python} has no bitsandbytes and compressed-tensors; set MQ_PEFT_PYTHON)` : ''

describe.skipIf(cases === undefined)(`the values that a storage's own library gives${why}`, () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mq-libraries-'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  it.each((cases ?? []).map((one) => [`${one.library}: ${one.name}`, one] as const))('%s', async (_, one) => {
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
