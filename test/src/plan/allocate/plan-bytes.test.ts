import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type GgmlTypeName, ggmlType } from '../../../../formats/ggml/types.js'
import { type Measure, parseTensorTypes, planBytes } from '../../../../src/plan/allocate/index.js'
import { finish } from '../../../../src/progress/index.js'
import { blueprintOf } from './blueprints.js'

const types = ['Q2_K', 'Q4_K', 'Q8_0', 'BF16'] as const
const sizes: Readonly<Record<string, number>> = { Q2_K: 84 / 256, Q4_K: 144 / 256, Q8_0: 34 / 32, BF16: 2, F32: 4 }
const writable = (type: GgmlTypeName): boolean => (types as readonly string[]).includes(type)

const blueprint = blueprintOf({
  architecture: 'llama',
  layers: 2,
  experts: 0,
  heads: 1,
  groups: 1,
  tensors: [0, 1].flatMap((layer): [string, number[]][] => [
    [`blk.${layer}.attn_norm.weight`, [9]],
    [`blk.${layer}.attn_output.weight`, [3, 256]],
    [`blk.${layer}.ffn_gate.weight`, [5, 256]],
    [`blk.${layer}.ffn_up.weight`, [7, 256]],
  ]),
})
const gateAndUp = [0, 1].map((layer) => [`blk.${layer}.ffn_gate.weight`, `blk.${layer}.ffn_up.weight`])
const names = blueprint.tensors.map(({ name }) => name)

const errorOf = (name: string, type: string): number =>
  ((names.indexOf(name) * 7 + 3) % 5) * 4 ** -ggmlType(type as GgmlTypeName).bitsPerWeight
const measure: Measure = async function* ({ requests }) {
  yield { stage: 'measure', done: 1, total: 1, unit: 'tensors' }
  return new Map(
    requests.map(({ tensor, types: asked }) => [
      tensor,
      new Map(asked.map((type) => [type, { relativeError: errorOf(tensor, type) }])),
    ]),
  )
}
const ruleOf = ({ name }: { readonly name: string }): { sensitivity: number; floor: 'IQ2_XXS'; why: string } => ({
  sensitivity: 1 + (names.indexOf(name) % 3),
  floor: 'IQ2_XXS',
  why: 'a matrix',
})

function stored(name: string, type: string, alignment: number): number {
  const elements = (blueprint.tensors.find((tensor) => tensor.name === name)?.shape ?? []).reduce((a, b) => a * b, 1)
  return Math.ceil((elements * (sizes[type] ?? 0)) / alignment) * alignment
}

/** The least damage of all ways to give each group one type in blocks, by trying them. */
function minDamage(groups: readonly (readonly string[])[], budget: number, alignment: number): number {
  const [first, ...rest] = groups
  if (first === undefined) return budget >= 0 ? 0 : Number.POSITIVE_INFINITY
  return Math.min(
    ...types
      .filter((type) => type !== 'BF16')
      .map((type) => {
        const damage = first.map((name) => ruleOf({ name }).sensitivity * errorOf(name, type))
        const bytes = first.map((name) => stored(name, type, alignment)).reduce((a, b) => a + b)
        return damage.reduce((a, b) => a + b) + minDamage(rest, budget - bytes, alignment)
      }),
  )
}

describe('planBytes', () => {
  it('finds what trying everything finds, with ties and padding', async () => {
    const free = names.filter((name) => !name.includes('norm') && !gateAndUp.flat().includes(name)).map((name) => [name])
    const instance = fc.record({
      tied: fc.boolean(),
      alignment: fc.constantFrom(1, 32),
      bytes: fc.integer({ min: 2900, max: 16000 }),
    })
    await fc.assert(
      fc.asyncProperty(instance, async ({ tied, alignment, bytes }) => {
        const ties = tied ? gateAndUp : []
        const budget = { bytes, goal: { kind: 'bits', bits: 3 }, asked: '' } as const
        const plan = await finish(planBytes(blueprint, budget, { measure, writable, ruleOf, ties, alignment }))
        const typeOf = new Map(plan.tensors.map(({ name, type }) => [name, type]))
        const norms = names.filter((name) => name.includes('norm'))
        const total = names.reduce((sum, name) => sum + stored(name, typeOf.get(name) ?? '', alignment), 0)
        expect(total).toBeLessThanOrEqual(bytes)
        for (const [gate = '', up = ''] of ties) expect(typeOf.get(gate)).toBe(typeOf.get(up))
        const open = names.filter((name) => !norms.includes(name))
        const damage = open.reduce((sum, name) => {
          const type = typeOf.get(name) ?? ''
          return type === 'BF16' ? sum : sum + ruleOf({ name }).sensitivity * errorOf(name, type)
        }, 0)
        const groups = tied ? [...free, ...gateAndUp] : open.map((name) => [name])
        const left = bytes - norms.reduce((sum, name) => sum + stored(name, 'F32', alignment), 0)
        const source = groups.flat().reduce((sum, name) => sum + stored(name, 'BF16', alignment), 0)
        if (source <= left) expect(damage).toBe(0)
        // Where a part is left, a hundredth more bytes would have saved less than half a hundredth of the damage.
        const saved = 0.5 * Math.max(0, bytes / total - 1)
        expect(damage * (1 - saved)).toBeLessThanOrEqual(minDamage(groups, left, alignment) + 1e-9)
      }),
      { numRuns: 20 },
    )
  })

  it('leaves what the user sets out of a tie, and says which are tied', async () => {
    const overrides = parseTensorTypes(['blk.0.ffn_up=Q8_0'])
    const budget = { bytes: 6000, goal: { kind: 'bits', bits: 3 }, asked: '' } as const
    const { tensors } = await finish(planBytes(blueprint, budget, { measure, writable, ruleOf, overrides, ties: gateAndUp }))
    const line = (name: string): { type: string; reason: string } | undefined => tensors.find((tensor) => tensor.name === name)
    expect(line('blk.0.ffn_up.weight')).toMatchObject({ type: 'Q8_0', reason: 'Set by name, blk.0.ffn_up=Q8_0.' })
    expect(line('blk.0.ffn_gate.weight')?.reason).toMatch(/^A matrix: /)
    expect(line('blk.1.ffn_gate.weight')?.reason).toMatch(/^A matrix, tied to 1 more: /)
  })
})
