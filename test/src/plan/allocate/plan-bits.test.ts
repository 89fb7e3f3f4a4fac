import { describe, expect, it } from 'vitest'
import { type GgmlTypeName, ggmlType } from '../../../../formats/ggml/types.js'
import type { Blueprint, TensorRole } from '../../../../src/model/blueprint.js'
import { type Measure, type PlanBitsOptions, parseTensorTypes, planBits } from '../../../../src/plan/allocate/index.js'
import type { Plan } from '../../../../src/plan/plan.js'
import { finish } from '../../../../src/progress/index.js'
import { blueprintOf, deepseekR1 } from './blueprints.js'

/** Rate distortion's law for a Gaussian, 4^-bits, and half as much again for types without levels of their own. */
function errorOf(type: GgmlTypeName): number {
  return 4 ** -ggmlType(type).bitsPerWeight * (type.startsWith('IQ') ? 2 : 3)
}

const measure: Measure = async function* ({ requests }) {
  yield { stage: 'measure', done: 1, total: 1, unit: 'tensors' }
  return new Map(
    requests.map(({ tensor, types }) => [tensor, new Map(types.map((type) => [type, { relativeError: errorOf(type) }]))]),
  )
}

function plan(blueprint: Blueprint, options: PlanBitsOptions): Promise<Plan> {
  return finish(planBits(blueprint, { measure, writable: () => true, ...options }))
}

function small(): Blueprint {
  const block = (layer: number): [string, number[]][] => [
    [`blk.${layer}.attn_norm.weight`, [256]],
    [`blk.${layer}.attn_q.weight`, [256, 256]],
    [`blk.${layer}.attn_k.weight`, [64, 256]],
    [`blk.${layer}.attn_v.weight`, [64, 256]],
    [`blk.${layer}.attn_output.weight`, [256, 256]],
    [`blk.${layer}.ffn_up.weight`, [768, 256]],
    [`blk.${layer}.ffn_down.weight`, [256, 768]],
  ]
  return blueprintOf({
    architecture: 'llama',
    layers: 4,
    experts: 0,
    heads: 4,
    groups: 1,
    tensors: [['token_embd.weight', [1024, 256]], ['output.weight', [1024, 256]], ...[0, 1, 2, 3].flatMap(block)],
  })
}

function bitsOf({ tensors }: Plan, role: TensorRole): number {
  const ofRole = tensors.filter((tensor) => tensor.role === role)
  const elements = ofRole.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b), 0)
  return (8 * ofRole.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)) / elements
}

describe('planBits', () => {
  it.each([2.51, 3, 4.83, 6.5, 7.5])('fills %f bits per weight and never more', async (bits) => {
    const { bitsPerWeight, dataBytes, tensors, notes } = await plan(small(), { bits })
    const elements = tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b), 0)
    expect(bitsPerWeight).toBe((8 * dataBytes) / elements)
    expect(bitsPerWeight).toBeLessThanOrEqual(bits)
    expect(bitsPerWeight).toBeGreaterThan(0.995 * bits)
    expect(notes).toEqual([])
  })

  it('stops at 8 bits in blocks, and names the size of the source, where the budget has room for neither more nor all', async () => {
    const { bitsPerWeight, tensors, notes } = await plan(small(), { bits: 12 })
    expect(new Set(tensors.map(({ type }) => type))).toEqual(new Set(['Q8_0', 'F32']))
    expect(bitsPerWeight).toBeLessThan(8.6)
    expect(notes).toEqual([
      expect.stringMatching(/^8\.5\d+ of 12 bits per weight are used: .* all of the source fits at 16\.0\d+ bits/),
    ])
  })

  it('leaves room that one large matrix waits for, and names the size at which it gets its next type', async () => {
    // Six tenths of all weights in one matrix, as of a small model with a large vocabulary.
    const blueprint = blueprintOf({
      architecture: 'llama',
      layers: 4,
      experts: 0,
      heads: 4,
      groups: 1,
      tensors: [
        ['token_embd.weight', [12288, 256]],
        ['output.weight', [256, 256]],
        ...[0, 1, 2, 3].flatMap((layer): [string, number[]][] => [
          [`blk.${layer}.attn_norm.weight`, [256]],
          [`blk.${layer}.attn_output.weight`, [256, 256]],
          [`blk.${layer}.ffn_up.weight`, [768, 256]],
          [`blk.${layer}.ffn_down.weight`, [256, 768]],
        ]),
      ],
    })
    const floors = { embedding: 'Q6_K' } as const
    const made = await plan(blueprint, { bits: 7.6, floors })
    const typeOf = (name: string, { tensors }: Plan): string | undefined => tensors.find((tensor) => tensor.name === name)?.type
    expect(typeOf('token_embd.weight', made)).toBe('Q6_K')
    const [note = ''] = made.notes
    const next = Number(/token_embd\.weight gets its next type at ([\d.]+) bits per weight/.exec(note)?.[1])
    expect(made.bitsPerWeight).toBeLessThan(7.56)
    expect(typeOf('token_embd.weight', await plan(blueprint, { bits: next + 0.001, floors }))).toBe('Q8_0')
  })

  it('ends without loss, and says so, where the budget has room for the source', async () => {
    const { tensors, notes, fileType } = await plan(small(), { bits: 20 })
    expect(new Set(tensors.map(({ type }) => type))).toEqual(new Set(['BF16', 'F32']))
    expect(fileType).toBe(32)
    expect(notes).toEqual([
      expect.stringMatching(/^Every tensor has the highest type that adds precision: 16\.0\d+ bits per weight/),
    ])
  })

  it('says what the least is where the budget is impossible', async () => {
    const impossible = plan(small(), { bits: 1.2 })
    await expect(impossible).rejects.toMatchObject({ code: 'BUDGET_IMPOSSIBLE' })
    const said = await impossible.catch((error: { details: { least: string } }) => error.details.least)
    const least = Number.parseFloat(said as string)
    const { bitsPerWeight } = await plan(small(), { bits: least })
    expect(bitsPerWeight).toBeLessThanOrEqual(least)
    await expect(plan(small(), { bits: least - 0.001 })).rejects.toMatchObject({ code: 'BUDGET_IMPOSSIBLE' })
  })

  it.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])('refuses %f bits', async (bits) => {
    await expect(plan(small(), { bits })).rejects.toMatchObject({ code: 'OPTION_INVALID' })
  })

  it('leaves the rest to what the user sets, and says where a type comes from', async () => {
    const overrides = parseTensorTypes(['ffn_down=Q8_0', 'blk\\.[01]\\.ffn=Q6_K', 'token_embd=F16'])
    const { tensors, bitsPerWeight, goal } = await plan(small(), { bits: 7.5, overrides })
    const typeOf = (name: string): string | undefined => tensors.find((tensor) => tensor.name === name)?.type
    expect(typeOf('blk.0.ffn_down.weight')).toBe('Q8_0')
    expect(typeOf('blk.1.ffn_up.weight')).toBe('Q6_K')
    expect(typeOf('token_embd.weight')).toBe('F16')
    expect(bitsPerWeight).toBeLessThanOrEqual(7.5)
    expect(goal).toBe('7.5 bits per weight, ffn_down=Q8_0, blk\\.[01]\\.ffn=Q6_K, token_embd=F16')
    expect(tensors.find(({ name }) => name === 'blk.0.ffn_down.weight')?.reason).toBe('Set by name, ffn_down=Q8_0.')
    expect(tensors.every(({ reason }) => reason.endsWith('.'))).toBe(true)
  })

  it('keeps norms in F32 and roles above their floors', async () => {
    const floors = { 'attention-v': 'Q6_K', embedding: 'Q8_0' } as const
    const made = await plan(small(), { bits: 3.5, floors })
    expect(bitsOf(made, 'norm')).toBe(32)
    expect(bitsOf(made, 'attention-v')).toBeGreaterThanOrEqual(6.5625)
    expect(bitsOf(made, 'embedding')).toBeGreaterThanOrEqual(8.5)
  })

  it('uses only types that can be written and that the rows fit', async () => {
    const odd = blueprintOf({
      architecture: 'llama',
      layers: 1,
      experts: 0,
      heads: 1,
      groups: 1,
      tensors: [
        ['blk.0.attn_q.weight', [64, 96]],
        ['blk.0.ffn_down.weight', [64, 100]],
        ['blk.0.ffn_up.weight', [64, 512]],
      ],
    })
    const writable = (type: GgmlTypeName): boolean => ['Q8_0', 'IQ4_NL', 'Q2_K'].includes(type)
    const { tensors } = await plan(odd, { bits: 5, writable })
    expect(tensors.map(({ type }) => type)).toEqual(['IQ4_NL', 'BF16', 'Q2_K'])
    expect(tensors[1]?.reason).toContain('row length of 100 is no multiple of any block size')
  })

  it('is the same every time', async () => {
    expect(await plan(small(), { bits: 3.33 })).toEqual(await plan(small(), { bits: 3.33 }))
  })

  it('shares 2.51 bits out over DeepSeek-R1 as its makers of dynamic quants do', async () => {
    const made = await plan(deepseekR1(), { bits: 2.51 })
    // 671 billion weights at 2.51 bits.
    expect(made.dataBytes).toBeLessThanOrEqual(212e9)
    expect(made.dataBytes).toBeGreaterThan(0.99 * 210.6e9)
    const experts = (['expert-gate', 'expert-up', 'expert-down'] as const).map((role) => bitsOf(made, role))
    for (const bits of experts) expect(bits).toBeGreaterThan(2)
    for (const bits of experts) expect(bits).toBeLessThan(3.1)
    const rest: TensorRole[] = [
      'attention-q',
      'attention-q-a',
      'attention-kv-a',
      'attention-k-b',
      'attention-v-b',
      'attention-output',
    ]
    const shared: TensorRole[] = [
      'shared-expert-gate',
      'shared-expert-up',
      'shared-expert-down',
      'ffn-down',
      'embedding',
      'output',
    ]
    for (const role of [...rest, ...shared]) expect(bitsOf(made, role), role).toBeGreaterThan(4)
    expect(made.tensors.find(({ role }) => role === 'router')?.type).toBe('F32')
  })
})
