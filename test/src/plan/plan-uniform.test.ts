import { describe, expect, it } from 'vitest'
import type { Metadata } from '../../../formats/gguf/index.js'
import type { Blueprint, BlueprintTensor } from '../../../src/model/blueprint.js'
import { sizeLabel } from '../../../src/model/convert/size-label.js'
import { withPlanMetadata } from '../../../src/plan/plan-metadata.js'
import { planUniform } from '../../../src/plan/plan-uniform.js'
import { constant } from '../../../src/recipe/index.js'

const tensor = (name: string, shape: readonly number[], keepF32 = false): BlueprintTensor => ({
  name,
  shape,
  role: 'ffn-up',
  layer: 0,
  keepF32,
  recipe: constant([]),
})

const blueprint: Blueprint = {
  architecture: 'llama',
  layers: 1,
  experts: 0,
  metadata: new Map(),
  files: [],
  sourceType: 'BF16',
  notes: ['A note.'],
  tensors: [tensor('a', [2, 64]), tensor('b', [2, 48]), tensor('c', [64], true)],
}

describe('planUniform', () => {
  it('keeps F32 where it must, and takes F16 where rows are not whole blocks', () => {
    const plan = planUniform(blueprint, 'Q8_0')
    expect(plan.tensors.map(({ type, sizeBytes }) => [type, sizeBytes])).toEqual([
      ['Q8_0', 4 * 34],
      ['F16', 2 * 96],
      ['F32', 4 * 64],
    ])
    expect(plan).toMatchObject({ dataBytes: 584, bitsPerWeight: (8 * 584) / 288, architecture: 'llama' })
    expect(plan.notes).toEqual(['A note.', '1 of 3 tensors have rows that are not whole blocks of Q8_0 and got F16.'])
  })

  // enum llama_ftype, include/llama.h of llama.cpp v0.5.0.
  it.each([
    ['F32', 0],
    ['F16', 1],
    ['Q8_0', 7],
    ['BF16', 32],
  ] as const)('gives %s its number', (type, number) => {
    expect(planUniform(blueprint, type).fileType).toBe(number)
  })
})

describe('sizeLabel', () => {
  // gguf-py/gguf/utility.py: two digits at least, and the experts' number before the size of a model with one of each.
  it.each<[string, Parameters<typeof sizeLabel>[0]]>([
    ['0.50K', [{ name: 'a', shape: [5, 100] }]],
    ['7.2B', [{ name: 'a', shape: [72, 100_000_000] }]],
    ['671B', [{ name: 'a', shape: [671, 1_000_000_000] }]],
    [
      '8x1.1M',
      [
        { name: 'a', shape: [100_000] },
        { name: 'blk.0.ffn_up_exps.weight', shape: [8, 1000, 1000] },
      ],
    ],
  ])('is %s', (label, tensors) => {
    expect(sizeLabel(tensors)).toBe(label)
  })
})

describe('withPlanMetadata', () => {
  const keys = (...names: string[]): Metadata => new Map(names.map((name) => [name, { type: 'string', value: 'llama' }]))
  const order = (metadata: Metadata): string[] => [...withPlanMetadata(metadata, 15).keys()]

  it('writes the mix where the blueprint keeps its place and the version before the tokenizer', () => {
    expect(
      order(
        keys(
          'general.architecture',
          'llama.block_count',
          'general.file_type',
          'llama.vocab_size',
          'tokenizer.ggml.model',
          'tokenizer.ggml.pre',
        ),
      ),
    ).toEqual([
      'general.architecture',
      'llama.block_count',
      'general.file_type',
      'llama.vocab_size',
      'general.quantization_version',
      'tokenizer.ggml.model',
      'tokenizer.ggml.pre',
    ])
  })

  it('finds a place in any metadata, and replaces what is there', () => {
    expect(order(keys('general.architecture'))).toEqual([
      'general.architecture',
      'general.file_type',
      'general.quantization_version',
    ])
    expect(order(keys('tokenizer.ggml.model', 'llama.block_count', 'general.architecture', 'general.file_type'))).toEqual([
      'general.quantization_version',
      'tokenizer.ggml.model',
      'llama.block_count',
      'general.architecture',
      'general.file_type',
    ])
    expect(withPlanMetadata(keys('general.file_type'), 15).get('general.file_type')).toEqual({ type: 'uint32', value: 15 })
  })
})
