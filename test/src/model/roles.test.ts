import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { keepsFloat32, layerOfTensor, roleOfTensor } from '../../../src/model/roles.js'

const golden = new URL('../../golden/', import.meta.url)

interface GoldenTensor {
  readonly name: string
  readonly shape: readonly number[]
  readonly type: number
}

describe('keepsFloat32', () => {
  it("is as llama.cpp's converter chose", () => {
    for (const file of readdirSync(golden).filter((name) => name.endsWith('.q8_0.json'))) {
      const { tensors } = JSON.parse(readFileSync(new URL(file, golden), 'utf8')) as { tensors: GoldenTensor[] }
      for (const { name, shape, type } of tensors)
        expect([name, keepsFloat32(name, shape.toReversed())]).toEqual([name, type === 0])
    }
  })

  it('holds for all but weights', () => {
    expect(keepsFloat32('blk.0.ssm_a', [16, 16])).toBe(true)
    expect(keepsFloat32('blk.0.attn_q.bias', [1, 16])).toBe(true)
    expect(keepsFloat32('blk.0.ffn_gate_inp_shexp.weight', [1, 16])).toBe(true)
    expect(keepsFloat32('blk.0.attn_qkv.weight', [16, 16])).toBe(false)
  })
})

describe('roleOfTensor', () => {
  it.each([
    ['token_embd.weight', 'embedding', undefined],
    ['output.weight', 'output', undefined],
    ['output_norm.weight', 'norm', undefined],
    ['rope_freqs.weight', 'other', undefined],
    ['blk.0.attn_q.bias', 'attention-q', 0],
    ['blk.11.attn_q_a_norm.weight', 'norm', 11],
    ['blk.11.attn_kv_a_mqa.weight', 'attention-kv-a', 11],
    ['blk.60.attn_k_b.weight', 'attention-k-b', 60],
    ['blk.3.exp_probs_b.bias', 'router', 3],
    ['blk.3.ffn_gate_inp.weight', 'router', 3],
    ['blk.3.ffn_down_exps.weight', 'expert-down', 3],
    ['blk.3.ffn_up_shexp.weight', 'shared-expert-up', 3],
    ['blk.3.ffn_gate.weight', 'ffn-gate', 3],
    ['blk.3.something_new.weight', 'other', 3],
    ['constructor.weight', 'other', undefined],
    ['', 'other', undefined],
  ])('%s is %s in layer %s', (name, role, layer) => {
    expect([roleOfTensor(name), layerOfTensor(name)]).toEqual([role, layer])
  })
})
