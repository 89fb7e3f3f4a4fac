import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Codec, openCodec } from '../../../../formats/ggml/codec.js'
import { type Metadata, shardMetadata, writeGguf } from '../../../../formats/gguf/index.js'
import { makeBlueprint } from '../../../../src/model/convert/index.js'
import { evaluateRows, rowCount } from '../../../../src/recipe/index.js'
import { openBlueprintFiles } from '../../../support/blueprint-files.js'

type GgufInput = Parameters<typeof writeGguf>[2][number]

let folder: string
let codec: Codec
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-from-gguf-'))
  codec = await openCodec()
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const metadata: Metadata = new Map([
  ['general.architecture', { type: 'string', value: 'llama' }],
  ['general.file_type', { type: 'uint32', value: 7 }],
  ['llama.block_count', { type: 'uint32', value: 1 }],
  ['llama.expert_count', { type: 'uint32', value: 4 }],
  ['general.quantization_version', { type: 'uint32', value: 2 }],
  ['tokenizer.ggml.model', { type: 'string', value: 'gpt2' }],
])

const norm: GgufInput = {
  name: 'blk.0.attn_norm.weight',
  type: 'F32',
  dimensions: [2],
  data: new Uint8Array(Float32Array.of(1.5, -2).buffer),
}
/** Two rows of one block: scale 0.5 (0x3800), codes 0..31; scale 2 (0x4000), codes -1. */
const down: GgufInput = {
  name: 'blk.0.ffn_down.weight',
  type: 'Q8_0',
  dimensions: [32, 2],
  data: Uint8Array.of(
    0x00,
    0x38,
    ...Array.from({ length: 32 }, (_, i) => i),
    0x00,
    0x40,
    ...Array.from({ length: 32 }, () => 0xff),
  ),
}
const up: GgufInput = {
  name: 'blk.0.ffn_up.weight',
  type: 'BF16',
  dimensions: [2, 1],
  data: Uint8Array.of(0x80, 0x3f, 0x00, 0xc0),
}

async function write(name: string, keys: Metadata, tensors: readonly GgufInput[]): Promise<string> {
  const path = join(folder, name)
  await writeGguf(path, keys, tensors)
  return path
}

describe('the blueprint of a GGUF file', () => {
  it('carries over metadata and values, but for what the plan writes anew', async () => {
    const path = await write('model.gguf', metadata, [norm, down, up])
    const blueprint = await makeBlueprint(path)
    expect(blueprint).toMatchObject({ architecture: 'llama', layers: 1, experts: 4, files: [path], sourceType: 'BF16' })
    expect([...blueprint.metadata.keys()]).toEqual([
      'general.architecture',
      'general.file_type',
      'llama.block_count',
      'llama.expert_count',
      'general.quantization_version',
      'tokenizer.ggml.model',
    ])
    expect(blueprint.tensors.map(({ name, shape, role, layer, keepF32 }) => ({ name, shape, role, layer, keepF32 }))).toEqual([
      { name: norm.name, shape: [2], role: 'norm', layer: 0, keepF32: true },
      { name: down.name, shape: [2, 32], role: 'ffn-down', layer: 0, keepF32: false },
      { name: up.name, shape: [1, 2], role: 'ffn-up', layer: 0, keepF32: false },
    ])
    expect(blueprint.notes).toEqual([expect.stringContaining('already quantized (1 of 3 tensors)')])

    await using files = await openBlueprintFiles(blueprint)
    const values = await Promise.all(
      blueprint.tensors.map(async ({ recipe }) => [...(await evaluateRows(recipe, 0, rowCount(recipe), files.read, codec))]),
    )
    expect(values).toEqual([
      [1.5, -2],
      [...Array.from({ length: 32 }, (_, i) => i / 2), ...Array.from({ length: 32 }, () => -2)],
      [1, -2],
    ])
    // One row alone, too.
    const [, second] = blueprint.tensors
    if (second === undefined) throw new Error('no second tensor')
    expect((await evaluateRows(second.recipe, 1, 2, files.read, codec))[31]).toBe(-2)
  })

  it('is one for all shards', async () => {
    const name = (index: number): string => `split-0000${index + 1}-of-00002.gguf`
    await write(name(0), shardMetadata(metadata, 0, 2, 2), [norm])
    await write(name(1), shardMetadata(metadata, 1, 2, 2), [up])
    const blueprint = await makeBlueprint(join(folder, name(1)))
    expect(blueprint.files).toEqual([join(folder, name(0)), join(folder, name(1))])
    expect(blueprint.tensors.map(({ name }) => name)).toEqual([norm.name, up.name])
    expect([...blueprint.metadata.keys()].filter((key) => key.startsWith('split.'))).toEqual([])
  })

  it('of F32 alone stays F32', async () => {
    const matrix = { ...norm, name: 'output.weight', dimensions: [2, 1] }
    expect((await makeBlueprint(await write('f32.gguf', metadata, [matrix]))).sourceType).toBe('F32')
  })

  it.each([
    ['no architecture', new Map([...metadata].slice(1)), [norm], 'architecture'],
    ['no number of blocks', new Map([...metadata].filter(([key]) => key !== 'llama.block_count')), [norm], 'llama.block_count'],
    ['no tensors', metadata, [], 'no tensors'],
  ])('is refused with %s', async (what, keys, tensors, words) => {
    const path = await write(`${what}.gguf`, keys, tensors)
    await expect(makeBlueprint(path)).rejects.toMatchObject({
      code: 'GGUF_UNSUPPORTED',
      message: expect.stringContaining(words) as string,
    })
  })

  it('is refused where there is no file, or another', async () => {
    await expect(makeBlueprint(join(folder, 'nothing.gguf'))).rejects.toMatchObject({ code: 'FILE_MISSING' })
    const text = join(folder, 'text.gguf')
    await writeFile(text, 'This is a text and no model.')
    await expect(makeBlueprint(text)).rejects.toMatchObject({ code: 'GGUF_INVALID' })
  })
})
