import { describe, expect, it } from 'vitest'
import { openCodec } from '../../../formats/ggml/codec.js'
import { embeddingReaders } from '../../../src/calibration/embedding-readers.js'
import { embeddingCovariance } from '../../../src/covariance/embedding-covariance.js'
import type { Blueprint, BlueprintTensor, TensorRole } from '../../../src/model/blueprint.js'
import { evaluateRows } from '../../../src/recipe/index.js'

/** Values that look random, and are the same each time. */
const value = (seed: number, at: number): number => Math.sin(seed * 1000 + at * 12.9898)

function tensor(name: string, role: TensorRole, rows: number, columns: number, seed: number): BlueprintTensor {
  const shape = rows === 1 ? [columns] : [rows, columns]
  const values = Array.from({ length: rows * columns }, (_, at) => Math.fround(value(seed, at)))
  const layer = name.startsWith('blk.') ? { layer: Number(name.split('.')[1]) } : {}
  return { name, role, ...layer, shape, keepF32: rows === 1, recipe: { op: 'constant', values, shape } }
}

function model(columns: number, ...more: BlueprintTensor[]): Pick<Blueprint, 'architecture' | 'tensors'> {
  const tensors = [
    tensor('token_embd.weight', 'embedding', 4, columns, 1),
    tensor('output.weight', 'output', 4, columns, 2),
    tensor('blk.0.attn_norm.weight', 'norm', 1, columns, 3),
    tensor('blk.0.attn_q.weight', 'attention-q', 6, columns, 4),
    tensor('blk.0.attn_k.weight', 'attention-k', 3, columns, 5),
    ...more,
  ]
  return { architecture: 'llama', tensors }
}

/** Power of what the readers make of an error of the embedding, each over its mean for an error of one column, halved over both. */
function readPower(columns: number, error: readonly number[]): number {
  const ofReader = (seed: number, rows: number): number => {
    let [power, whole] = [0, 0]
    for (let row = 0; row < rows; row += 1) {
      let sum = 0
      for (let i = 0; i < columns; i += 1) {
        const weight = value(seed, row * columns + i) * value(3, i)
        sum += weight * (error[i] ?? 0)
        whole += weight ** 2
      }
      power += sum ** 2
    }
    return power / (whole / columns)
  }
  return (ofReader(4, 6) + ofReader(5, 3)) / 2
}

describe('embeddingCovariance', () => {
  it.each([64, 1056])('says of %i columns what the first block makes of an error', async (columns) => {
    const { readers } = embeddingReaders(model(columns)) ?? expect.fail('no readers')
    const codec = await openCodec()
    const covariance = await embeddingCovariance(readers, (recipe, start, end) =>
      evaluateRows(recipe, start, end, () => expect.fail('nothing to read'), codec),
    )
    const error = Array.from({ length: columns }, (_, i) => value(9, i))
    let power = 0
    if ('full' in covariance) {
      for (let i = 0; i < columns; i += 1)
        for (let j = 0; j < columns; j += 1) power += (error[i] ?? 0) * (covariance.full[i * columns + j] ?? 0) * (error[j] ?? 0)
    } else {
      const { diagonal, factors = [] } = covariance
      for (let i = 0; i < columns; i += 1) power += (diagonal[i] ?? 0) * (error[i] ?? 0) ** 2
      for (let row = 0; row < factors.length; row += columns) {
        power += error.reduce((sum, one, i) => sum + one * (factors[row + i] ?? 0), 0) ** 2
      }
    }
    // a sketch is summed in single precision
    expect(power / readPower(columns, error)).toBeCloseTo(1, 'full' in covariance ? 4 : 2)
  })
})

describe('embeddingReaders', () => {
  it('takes the narrow ways of latent attention, and not what reads from them', () => {
    const found = embeddingReaders(
      model(
        64,
        tensor('blk.0.attn_q_a.weight', 'attention-q-a', 4, 64, 6),
        tensor('blk.0.attn_kv_a_mqa.weight', 'attention-kv-a', 5, 64, 7),
      ),
    )
    expect(found?.readers.readers.map(({ shape }) => shape)).toEqual([
      [4, 64],
      [5, 64],
    ])
  })

  it('takes what the first feed-forward part reads with, and what attention adds before', () => {
    const found = embeddingReaders(
      model(
        64,
        tensor('blk.0.attn_output.weight', 'attention-output', 64, 64, 8),
        tensor('blk.0.ffn_norm.weight', 'norm', 1, 64, 9),
        tensor('blk.0.ffn_up.weight', 'ffn-up', 96, 64, 10),
        tensor('blk.0.ffn_gate.weight', 'ffn-gate', 95, 64, 11),
        tensor('blk.0.ffn_down.weight', 'ffn-down', 64, 96, 12),
        tensor('blk.1.ffn_up.weight', 'ffn-up', 97, 64, 13),
      ),
    )
    expect(found?.writer?.name).toBe('blk.0.attn_output.weight')
    expect(found?.feedForward?.readers.map(({ shape }) => shape)).toEqual([
      [96, 64],
      [95, 64],
    ])
    expect(embeddingReaders(model(64))?.feedForward).toBeUndefined()
  })

  it('says whether an embedding is the output matrix too, and leaves one alone that nothing known reads', () => {
    const { architecture, tensors } = model(64)
    expect(embeddingReaders({ architecture, tensors })?.isTied).toBe(false)
    expect(embeddingReaders({ architecture, tensors: tensors.filter(({ role }) => role !== 'output') })?.isTied).toBe(true)
    expect(embeddingReaders({ architecture, tensors: tensors.filter(({ role }) => role !== 'norm') })).toBeUndefined()
    expect(
      embeddingReaders({ architecture, tensors: tensors.filter(({ role }) => !role.startsWith('attention')) }),
    ).toBeUndefined()
  })

  it('asks the family what else the first block reads it with', () => {
    const up = tensor('blk.0.ffn_up.weight', 'ffn-up', 8, 64, 6)
    const shapesFor = (architecture: string, ...more: BlueprintTensor[]): (readonly number[])[] | undefined =>
      embeddingReaders({ architecture, tensors: model(64, up, ...more).tensors })?.readers.readers.map(({ shape }) => shape)
    expect(shapesFor('llama')).toEqual([
      [6, 64],
      [3, 64],
    ])
    // Falcon's feed-forward part reads what attention reads.
    expect(shapesFor('falcon')).toEqual([
      [6, 64],
      [3, 64],
      [8, 64],
    ])
    expect(shapesFor('stablelm')).toEqual([
      [6, 64],
      [3, 64],
      [8, 64],
    ])
    expect(shapesFor('stablelm', tensor('blk.0.ffn_norm.weight', 'norm', 1, 64, 7))).toEqual([
      [6, 64],
      [3, 64],
    ])
    // GPT-2's first block reads the sum of an embedding and a position.
    const { tensors } = model(64)
    const position = { ...tensor('position_embd.weight', 'other', 4, 64, 7), layer: undefined }
    expect(embeddingReaders({ architecture: 'gpt2', tensors: [...tensors, position] })).toBeUndefined()
  })
})
