import { describe, expect, it } from 'vitest'
import type { BlueprintTensor } from '../../../../src/model/blueprint.js'
import { expectedShares, measuredShares } from '../../../../src/plan/allocate/residual-share.js'
import { blueprintOf } from './blueprints.js'

const blueprint = blueprintOf({
  architecture: 'llama',
  layers: 2,
  experts: 4,
  heads: 1,
  groups: 1,
  tensors: [
    ['output.weight', [8, 2]],
    ['blk.0.attn_q.weight', [2, 2]],
    ['blk.0.attn_output.weight', [2, 2]],
    ['blk.0.ffn_down.weight', [2, 3]],
    ['blk.1.attn_output.weight', [2, 2]],
    ['blk.1.ffn_down_exps.weight', [4, 2, 3]],
    ['blk.1.ffn_down_shexp.weight', [2, 3]],
  ],
})
const tensor = (name: string): BlueprintTensor => blueprint.tensors.find((one) => one.name === name) as BlueprintTensor

describe('measuredShares', () => {
  it('is what a block writes over what all have written so far', () => {
    const power: Record<string, number> = {
      'blk.0.attn_output.weight': 10 / 4,
      'blk.0.ffn_down.weight': 30 / 6,
      'blk.1.attn_output.weight': 10 / 4,
      'blk.1.ffn_down_exps.weight': 80 / 6,
      'blk.1.ffn_down_shexp.weight': 10 / 6,
    }
    const metadata = new Map(blueprint.metadata).set('llama.expert_used_count', { type: 'uint32', value: 2 })
    const shareOf = measuredShares({ ...blueprint, metadata }, (name) => power[name])
    const share = (name: string): number | undefined => shareOf?.(tensor(name))
    expect(share('output.weight')).toBe(1)
    expect(share('blk.0.attn_q.weight')).toBeCloseTo(1, 9)
    expect(share('blk.0.ffn_down.weight')).toBeCloseTo(30 / 40, 9)
    expect(share('blk.1.attn_output.weight')).toBeCloseTo(10 / 50, 9)
    // Two experts of a half each: a quarter of the power, twice.
    expect(share('blk.1.ffn_down_exps.weight')).toBeCloseTo(40 / 100, 9)
    expect(share('blk.1.ffn_down_shexp.weight')).toBeCloseTo(10 / 100, 9)
  })

  it('is not known where one block is not', () => {
    expect(measuredShares(blueprint, (name) => (name.includes('exps') ? undefined : 1))).toBeUndefined()
  })
})

describe('expectedShares', () => {
  it('is all for the first sub-block, nearly half for the second, and falls from block to block', () => {
    const shareOf = expectedShares(blueprint)
    expect(shareOf(tensor('blk.0.attn_output.weight'))).toBeCloseTo(1, 9)
    expect(shareOf(tensor('blk.0.ffn_down.weight'))).toBeCloseTo(1.045 / 2.045, 9)
    expect(shareOf(tensor('blk.1.attn_output.weight'))).toBeLessThan(shareOf(tensor('blk.0.ffn_down.weight')))
  })
})
