import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Codec } from '../../../../formats/ggml/codec.js'
import { type SafetensorsInput, writeSafetensors } from '../../../../formats/safetensors/index.js'
import { type Checkpoint, openCheckpoint } from '../../../../src/model/checkpoint/index.js'
import { evaluateRows, rowCount } from '../../../../src/recipe/index.js'
import { openBlueprintFiles } from '../../../support/blueprint-files.js'
import { smallTensor } from '../../../support/checkpoints.js'

const samples = new URL('../../../../samples/', import.meta.url).pathname
const fp8 = { quant_method: 'fp8', fmt: 'e4m3', weight_block_size: [2, 2] }

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-checkpoint-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

async function write(files: Readonly<Record<string, readonly SafetensorsInput[] | object | string>>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name)
    if (Array.isArray(content)) await writeSafetensors(path, content as SafetensorsInput[])
    else await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content))
  }
}

async function values(checkpoint: Checkpoint, name: string): Promise<number[]> {
  await using files = await openBlueprintFiles(checkpoint)
  const recipe = checkpoint.tensor(name)
  return [...(await evaluateRows(recipe, 0, rowCount(recipe), files.read, {} as Codec))]
}

const f32 = (name: string, shape: readonly number[], ...numbers: number[]): SafetensorsInput => ({
  name,
  dtype: 'F32',
  shape,
  data: new Uint8Array(Float32Array.from(numbers).buffer),
})
const e4m3 = (name: string, shape: readonly number[], ...codes: number[]): SafetensorsInput => ({
  name,
  dtype: 'F8_E4M3',
  shape,
  data: Uint8Array.from(codes),
})

const u32 = (name: string, shape: readonly number[]): SafetensorsInput => ({
  name,
  dtype: 'U32',
  shape,
  data: new Uint8Array(4 * shape.reduce((product, size) => product * size, 1)),
})

it('misses zero points that config.json speaks of, and tells of an adapter beside the model', async () => {
  const one = { targets: ['Linear'], weights: { num_bits: 8, type: 'int', symmetric: false, strategy: 'channel' } }
  const quantization_config = { quant_method: 'compressed-tensors', format: 'int-quantized', config_groups: { one } }
  const weight: SafetensorsInput = { name: 'w.weight', dtype: 'I8', shape: [2, 2], data: Uint8Array.of(1, 2, 3, 4) }
  const scale = f32('w.weight_scale', [2, 1], 1, 2)
  await write({ 'config.json': { quantization_config }, 'adapter_config.json': {}, 'model.safetensors': [weight, scale] })
  const { notes, ...checkpoint } = await openCheckpoint(folder)
  expect(notes).toEqual([expect.stringContaining('an adapter as well (adapter_config.json), which is not merged')])
  expect(() => checkpoint.tensor('w.weight')).toThrow(
    expect.objectContaining({ code: 'TENSOR_MISSING', details: expect.objectContaining({ tensor: 'w.weight_zero_point' }) }),
  )
})

it('reads the chat templates that lie in a folder of their own', async () => {
  await mkdir(join(folder, 'additional_chat_templates'))
  await write({
    'config.json': {},
    'model.safetensors': [f32('w', [1], 1)],
    'additional_chat_templates/tool_use.jinja': 'C',
    'additional_chat_templates/rag.jinja': 'B',
    'additional_chat_templates/README.md': 'no template',
  })
  const templates = await (await openCheckpoint(folder)).readTemplates()
  expect([...templates]).toEqual([
    ['rag', 'B'],
    ['tool_use', 'C'],
  ])
})

describe('openCheckpoint', () => {
  it('lists the tensors of all shards by name within each, and finds the type of 16 bits', async () => {
    const llama = await openCheckpoint(`${samples}llama-kjv`)
    expect(llama.files).toEqual([`${samples}llama-kjv/model.safetensors`])
    expect(llama.sourceType).toBe('BF16')
    expect(llama.names.slice(0, 3)).toEqual([
      'lm_head.weight',
      'model.embed_tokens.weight',
      'model.layers.0.input_layernorm.weight',
    ])
    expect(llama.shapeOf('model.layers.0.self_attn.k_proj.weight')).toEqual([128, 256])

    const deepseek = await openCheckpoint(`${samples}deepseek-kjv-moe`)
    expect(deepseek.files).toHaveLength(2)
    expect(deepseek.names.filter((name) => name.includes('scale'))).toEqual([])
    expect(deepseek.tensor('model.layers.0.mlp.up_proj.weight').op).toBe('block-scale')
  })

  it('takes shards without an index, and not the same weights under another name', async () => {
    await write({
      'config.json': {},
      'model-00001-of-00002.safetensors': [f32('b', [1], 2)],
      'model-00002-of-00002.safetensors': [f32('a', [1], 1)],
      'consolidated.safetensors': [f32('other', [1], 3)],
    })
    const checkpoint = await openCheckpoint(folder)
    expect(checkpoint.names).toEqual(['b', 'a'])
    expect(await values(checkpoint, 'a')).toEqual([1])
    expect(checkpoint.sourceType).toBe('F16')
  })

  it('takes one file rather than shards that hold the same tensors, as transformers does, and says so', async () => {
    const twice = {
      'config.json': {},
      'model.safetensors': [f32('a', [1], 1), f32('b', [1], 2)],
      'model-00001-of-00001.safetensors': [f32('a', [1], 3), f32('b', [1], 4)],
      'model.safetensors.index.json': {
        weight_map: { a: 'model-00001-of-00001.safetensors', b: 'model-00001-of-00001.safetensors' },
      },
    }
    await write(twice)
    const checkpoint = await openCheckpoint(folder)
    expect(await values(checkpoint, 'b')).toEqual([2])
    expect(checkpoint.notes).toEqual([expect.stringMatching(/^The folder holds the model twice: model\.safetensors is read/)])
    // A file that holds a part of it is something else.
    await write({ ...twice, 'model.safetensors': [f32('a', [1], 1)] })
    const sharded = await openCheckpoint(folder)
    expect(await values(sharded, 'b')).toEqual([4])
    expect(sharded.notes).toEqual([])
  })

  it('multiplies FP8 blocks, which need not divide the matrix', async () => {
    // 0x38 is 1, 0x40 is 2, 0xb8 is -1.
    await write({
      'config.json': { quantization_config: fp8 },
      'model.safetensors': [
        e4m3('w', [3, 3], 0x38, 0x40, 0x38, 0xb8, 0x38, 0x38, 0x40, 0x38, 0x38),
        f32('w_scale_inv', [2, 2], 1, 10, 100, 1000),
        e4m3('plain', [2], 0x38, 0x40),
        f32('layer.activation_scale', [1], 5),
      ],
    })
    const checkpoint = await openCheckpoint(folder)
    expect(checkpoint.names).toEqual(['plain', 'w'])
    expect(await values(checkpoint, 'w')).toEqual([1, 2, 10, -1, 1, 10, 200, 100, 1000])
    expect(await values(checkpoint, 'plain')).toEqual([1, 2])
  })

  it.each([
    ['for the whole tensor', f32('w_scale_inv', [], 0.5), [0.5, 1, 0.5, 0.5]],
    ['for each row', f32('w_scale_inv', [2], 0.5, 8), [0.5, 1, 8, 8]],
    ['for each row, as a column', f32('w_scale_inv', [2, 1], 0.5, 8), [0.5, 1, 8, 8]],
  ])('multiplies FP8 by one factor %s', async (_, scale, expected) => {
    await write({
      'config.json': { quantization_config: { quant_method: 'fp8' } },
      'model.safetensors': [e4m3('w', [2, 2], 0x38, 0x40, 0x38, 0x38), scale],
    })
    expect(await values(await openCheckpoint(folder), 'w')).toEqual(expected)
  })

  const oneTensor = { 'model.safetensors': [f32('a', [1], 1)] }
  it.each<[string, Parameters<typeof write>[0], string, string]>([
    ['no config.json', oneTensor, 'CHECKPOINT_EMPTY', 'there is no config.json'],
    ['no weights', { 'config.json': {} }, 'CHECKPOINT_EMPTY', 'there are no *.safetensors'],
    ['PyTorch files', { 'config.json': {}, 'pytorch_model.bin': 'x' }, 'CHECKPOINT_PICKLED', 'PyTorch'],
    ['a config.json that is no JSON', { ...oneTensor, 'config.json': '{' }, 'CONFIG_INVALID', 'it is not JSON'],
    ['a config.json that is a list', { ...oneTensor, 'config.json': '[1]' }, 'CONFIG_INVALID', 'not a JSON object'],
    [
      'GPTQ',
      { ...oneTensor, 'config.json': { quantization_config: { quant_method: 'gptq', bits: 4 } } },
      'STORAGE_UNSUPPORTED',
      'gptq, 4 bits',
    ],
    [
      'another FP8',
      { ...oneTensor, 'config.json': { quantization_config: { ...fp8, fmt: 'e3m4' } } },
      'STORAGE_UNSUPPORTED',
      'fp8, e3m4',
    ],
    ['a quantization without a name', { ...oneTensor, 'config.json': { quantization_config: 3 } }, 'STORAGE_UNSUPPORTED', 'as 3'],
    [
      'ModelOpt',
      {
        'model.safetensors': [smallTensor('w', 'F8_E4M3', [2, 2]), f32('w_scale', [], 1)],
        'config.json': {},
        'hf_quant_config.json': { quantization: { quant_algo: 'FP8' } },
      },
      'STORAGE_UNSUPPORTED',
      'ModelOpt',
    ],
    [
      'FP8 whose scales are missing, for one of them',
      {
        'config.json': { quantization_config: fp8 },
        'model.safetensors': [
          smallTensor('w', 'F8_E4M3', [2, 2]),
          smallTensor('v', 'F8_E4M3', [2, 2]),
          f32('v_scale_inv', [1, 1], 1),
        ],
      },
      'TENSOR_MISSING',
      'w_scale_inv',
    ],
    [
      'FP8 codes that nothing describes',
      { 'config.json': {}, 'model.safetensors': [smallTensor('w', 'F8_E4M3', [2, 2]), f32('w_scale', [], 1)] },
      'STORAGE_UNSUPPORTED',
      'w_scale',
    ],
    [
      'dequantized weights beside their scales',
      {
        'config.json': { quantization_config: fp8 },
        'model.safetensors': [smallTensor('w', 'BF16', [2, 2]), f32('w_scale_inv', [1, 1], 1)],
      },
      'STORAGE_UNSUPPORTED',
      'beside a weight of BF16',
    ],
    [
      'MLX',
      {
        'config.json': { quantization: { group_size: 64, bits: 4 } },
        'model.safetensors': [
          u32('w.weight', [2, 8]),
          smallTensor('w.scales', 'BF16', [2, 1]),
          smallTensor('w.biases', 'BF16', [2, 1]),
        ],
      },
      'STORAGE_UNSUPPORTED',
      'MLX, 4 bits',
    ],
    [
      'shards without an index of which one is missing by its number',
      { 'config.json': {}, 'model-00002-of-00003.safetensors': oneTensor['model.safetensors'] },
      'SAFETENSORS_INDEX_INVALID',
      'model-00001-of-00003.safetensors is missing',
    ],
    [
      'two scales for one weight',
      {
        'config.json': { quantization_config: { quant_method: 'fp8' } },
        'model.safetensors': [e4m3('w', [1, 2], 0x38, 0x40), f32('w_scale', [1], 1), f32('w_scale_inv', [1], 2)],
      },
      'STORAGE_UNSUPPORTED',
      'two scales for one weight (w_scale_inv and w_scale)',
    ],
    [
      "ComfyUI's scales",
      { 'config.json': {}, 'model.safetensors': [e4m3('a.weight', [1, 2], 0x38, 0x40), f32('a.scale_weight', [1], 1)] },
      'STORAGE_UNSUPPORTED',
      'F8_E4M3 with scales of an unknown kind (tensor a.scale_weight)',
    ],
    [
      'a tensor in two shards',
      {
        'config.json': {},
        'model-1.safetensors': oneTensor['model.safetensors'],
        'model-2.safetensors': oneTensor['model.safetensors'],
      },
      'SAFETENSORS_INDEX_INVALID',
      '"a"',
    ],
  ])('refuses %s', async (_, files, code, words) => {
    await write(files)
    const opening = openCheckpoint(folder).then((checkpoint) => checkpoint.names.map((name) => checkpoint.tensor(name)))
    await expect(opening).rejects.toMatchObject({ code, message: expect.stringContaining(words) as string })
  })

  it.each([
    ['bitsandbytes', { load_in_4bit: true, quant_method: 'bitsandbytes' }],
    ['fp8, e4m3', fp8],
    ['gptq, 4 bits', { quant_method: 'gptq', bits: 4 }],
    ['awq, 4 bits', { quant_method: 'awq', bits: 4 }],
    ['compressed-tensors, pack-quantized', { quant_method: 'compressed-tensors', format: 'pack-quantized' }],
    ['modelopt, NVFP4', { quant_method: 'modelopt', quant_algo: 'NVFP4' }],
    ['mxfp4', { quant_method: 'mxfp4' }],
    ['torchao', { quant_method: 'torchao' }],
    ['quanto', { quant_method: 'quanto' }],
    ['hqq', { quant_method: 'hqq' }],
    ['aqlm', { quant_method: 'aqlm' }],
    ['exl2, 4 bits', { quant_method: 'exl2', bits: 4 }],
    ['quark', { quant_method: 'quark' }],
    ['auto-round, 4 bits', { quant_method: 'auto-round', bits: 4 }],
    ['an unnamed quantization', { weights: 8 }],
    ['"int8"', 'int8'],
  ])('takes plain weights whose quantization_config was left over, and says so: %s', async (said, quantization_config) => {
    await write({ 'config.json': { quantization_config }, 'model.safetensors': [smallTensor('w', 'BF16', [2, 2])] })
    const checkpoint = await openCheckpoint(folder)
    expect(checkpoint.tensor('w').op).toBe('plain')
    expect(checkpoint.notes).toEqual([
      `config.json says that the weights are quantized (${said}), but all of them are plain BF16: they are taken as they are.`,
    ])
  })

  it.each([
    ['quantization of MLX', 'mlx, 4 bits', { 'config.json': { quantization: { group_size: 64, bits: 4 } } }],
    [
      'quantization of MLX, written twice',
      '4 bits',
      { 'config.json': { quantization: { bits: 4 }, quantization_config: { bits: 4 } } },
    ],
    [
      'compression_config',
      'compressed-tensors',
      { 'config.json': { compression_config: { quant_method: 'compressed-tensors' } } },
    ],
    ['section of a text model', 'fp8, e4m3', { 'config.json': { text_config: { quantization_config: fp8 } } }],
    ['file of ModelOpt', 'modelopt, FP8', { 'config.json': {}, 'hf_quant_config.json': { quantization: { quant_algo: 'FP8' } } }],
  ])('takes plain weights with a left-over %s, and says so', async (_, said, files) => {
    await write({ ...files, 'model.safetensors': [smallTensor('w', 'BF16', [2, 2])] })
    const file = 'hf_quant_config.json' in files ? 'hf_quant_config.json' : 'config.json'
    expect((await openCheckpoint(folder)).notes).toEqual([
      `${file} says that the weights are quantized (${said}), but all of them are plain BF16: they are taken as they are.`,
    ])
  })

  it('passes over an empty quantization_config', async () => {
    await write({ 'config.json': { quantization_config: {} }, 'model.safetensors': [smallTensor('w', 'BF16', [2, 2])] })
    expect((await openCheckpoint(folder)).notes).toEqual([])
  })

  it('takes FP8 without any description as it is: a plain cast', async () => {
    await write({ 'config.json': {}, 'model.safetensors': [e4m3('w', [1, 2], 0x38, 0x40)] })
    const checkpoint = await openCheckpoint(folder)
    expect(await values(checkpoint, 'w')).toEqual([1, 2])
    expect(checkpoint.notes).toEqual([
      '1 of 1 matrices are F8_E4M3 without scales or a quantization_config: their values are taken as they are.',
    ])
  })

  it.each(['I8', 'U8', 'I32', 'BOOL'] as const)('refuses weights of %s, naming type and tensor', async (dtype) => {
    const bytes = dtype === 'I32' ? 16 : 4
    await write({
      'config.json': { quantization_config: fp8 },
      'model.safetensors': [
        { name: 'w', dtype, shape: [2, 2], data: new Uint8Array(bytes) },
        e4m3('v', [2, 2], 1, 2, 3, 4),
        f32('v_scale_inv', [1, 1], 1),
        f32('w_scale_inv', [1, 1], 1),
      ],
    })
    const checkpoint = await openCheckpoint(folder)
    expect(() => checkpoint.tensor('w')).toThrow(`as ${dtype} (tensor w)`)
  })

  it.each(['F8_E8M0', 'U8'] as const)('multiplies by powers of two in 8 bits, named %s', async (dtype) => {
    await write({
      'config.json': { quantization_config: { ...fp8, scale_fmt: 'ue8m0' } },
      'model.safetensors': [
        e4m3('w', [2, 3], 0x38, 0x40, 0x38, 0x38, 0x38, 0x38),
        { name: 'w_scale_inv', dtype, shape: [1, 2], data: Uint8Array.of(130, 125) },
      ],
    })
    expect(await values(await openCheckpoint(folder), 'w')).toEqual([8, 16, 0.25, 8, 8, 0.25])
  })

  it('refuses scales of integers that nothing explains', async () => {
    await write({
      'config.json': { quantization_config: fp8 },
      'model.safetensors': [
        e4m3('w', [2, 2], 1, 2, 3, 4),
        { name: 'w_scale_inv', dtype: 'U8', shape: [1, 1], data: Uint8Array.of(130) },
      ],
    })
    const checkpoint = await openCheckpoint(folder)
    expect(() => checkpoint.tensor('w')).toThrow('FP8 with scales of U8 (tensor w_scale_inv)')
  })

  const codes = (name: string, dtype: 'I8' | 'U8', shape: number[]): SafetensorsInput => ({
    name,
    dtype,
    shape,
    data: new Uint8Array(shape.reduce((product, size) => product * size, 1)),
  })
  const bits8 = { quant_method: 'bitsandbytes', load_in_8bit: true }
  it.each<[string, object | undefined, SafetensorsInput[], string, string]>([
    [
      'FP8 with scales of integers',
      fp8,
      [e4m3('w', [2, 2], 1, 2, 3, 4), { ...codes('w_scale_inv', 'I8', [1, 1]) }],
      'STORAGE_UNSUPPORTED',
      'FP8 with scales of I8',
    ],
    [
      'FP8 with scales of another name',
      fp8,
      [e4m3('a.weight', [2, 2], 1, 2, 3, 4), f32('a.scale', [1, 1], 1)],
      'STORAGE_UNSUPPORTED',
      'F8_E4M3 with scales of an unknown kind (tensor a.scale)',
    ],
    [
      'FP8 that config.json does not speak of',
      undefined,
      [e4m3('a.weight', [2, 2], 1, 2, 3, 4), f32('a.scale', [1, 1], 1)],
      'STORAGE_UNSUPPORTED',
      'unknown kind (tensor a.scale)',
    ],
    ['8 bits of bitsandbytes without scales', bits8, [codes('a.weight', 'I8', [2, 2])], 'TENSOR_MISSING', 'a.SCB'],
    ['4 bits of bitsandbytes without scales', bits8, [codes('a.weight', 'U8', [32, 1])], 'TENSOR_MISSING', 'a.weight.absmax'],
    [
      'GPTQ without its tensors',
      { quant_method: 'gptq', bits: 4 },
      [codes('a.weight', 'I8', [2, 2])],
      'STORAGE_UNSUPPORTED',
      'gptq, 4 bits, and has none of its tensors',
    ],
    [
      'torchao',
      { quant_method: 'torchao' },
      [codes('a.weight._data', 'I8', [2, 2]), f32('a.weight._scale', [1], 1)],
      'STORAGE_UNSUPPORTED',
      'as torchao',
    ],
  ])('refuses by name: %s', async (_, quantization_config, tensors, code, words) => {
    await write({ 'config.json': { quantization_config }, 'model.safetensors': tensors })
    const read = async (): Promise<unknown[]> => {
      const checkpoint = await openCheckpoint(folder)
      return checkpoint.names.map((name) => checkpoint.tensor(name))
    }
    await expect(read()).rejects.toMatchObject({ code, message: expect.stringContaining(words) })
  })

  it.each(['weight_scale', 'weight_scale_inv'])('multiplies by %s, whichever name its maker gave it', async (suffix) => {
    await write({
      'config.json': { quantization_config: { quant_method: 'fp8', activation_scheme: 'static' } },
      'model.safetensors': [
        e4m3('a.weight', [2, 2], 0x38, 0x40, 0x38, 0x38),
        f32(`a.${suffix}`, [2, 1], 0.5, 8),
        f32('a.input_scale', [], 7),
      ],
    })
    const checkpoint = await openCheckpoint(folder)
    expect(checkpoint.names).toEqual(['a.weight'])
    expect(await values(checkpoint, 'a.weight')).toEqual([0.5, 1, 8, 8])
  })

  it('refuses a shard that the index names and nobody has', async () => {
    await write({ 'config.json': {}, 'model.safetensors.index.json': { weight_map: { a: 'model-1.safetensors' } } })
    await expect(openCheckpoint(folder)).rejects.toMatchObject({ code: 'SAFETENSORS_INDEX_INVALID' })
  })
})

describe('tensor', () => {
  it('refuses what is not there, what cannot be read, and multipliers of another shape', async () => {
    await write({
      'config.json': { quantization_config: fp8 },
      'model.safetensors': [
        { name: 'packed', dtype: 'U32', shape: [1], data: new Uint8Array(4) },
        smallTensor('w', 'F8_E4M3', [4, 4]),
        smallTensor('w_scale_inv', 'F32', [4, 2]),
        smallTensor('v', 'F8_E4M3', [4]),
        smallTensor('v_scale_inv', 'F32', [2]),
      ],
    })
    const checkpoint = await openCheckpoint(folder)
    expect(() => checkpoint.tensor('b')).toThrow(expect.objectContaining({ code: 'TENSOR_MISSING' }) as Error)
    expect(() => checkpoint.tensor('packed')).toThrow(expect.objectContaining({ code: 'STORAGE_UNSUPPORTED' }) as Error)
    expect(() => checkpoint.tensor('w')).toThrow(expect.objectContaining({ code: 'TENSOR_SHAPE' }) as Error)
    expect(() => checkpoint.tensor('v')).toThrow(expect.objectContaining({ code: 'TENSOR_SHAPE' }) as Error)
  })
})
