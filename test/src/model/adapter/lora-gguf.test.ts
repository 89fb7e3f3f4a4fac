import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { blueprintOfAdapter, makeBlueprint } from '../../../../src/model/index.js'
import { product, writeAdapter } from '../../../support/adapters.js'
import { valuesOf } from '../../../support/blueprint-files.js'
import { deepseekV2Lite, mistralLinear } from '../../../support/checkpoint-variants.js'
import { writeCheckpoint } from '../../../support/checkpoints.js'

let folder: string
let base: string
let experts: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-lora-gguf-'))
  base = await writeCheckpoint(join(folder, 'base'), mistralLinear)
  experts = await writeCheckpoint(join(folder, 'experts'), deepseekV2Lite)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const pair = (module: string, outputs: number, inputs: number, rank = 4): Record<string, number[]> => ({
  [`${module}.lora_A.weight`]: [rank, inputs],
  [`${module}.lora_B.weight`]: [outputs, rank],
})
const layer = 'model.layers.0'
const modules = { ...pair(`${layer}.self_attn.q_proj`, 128, 128), ...pair(`${layer}.mlp.down_proj`, 128, 64, 2) }

it('refuses a scaling of 0, for which llama.cpp takes 1', async () => {
  const path = await writeAdapter(join(folder, 'none'), {
    tensors: modules,
    config: { lora_alpha: 0, rank_pattern: { down_proj: 2 } },
  })
  await expect(blueprintOfAdapter(base, path)).rejects.toMatchObject({ code: 'ADAPTER_UNSUPPORTED' })
})

describe('what llama.cpp adds with an adapter in GGUF', () => {
  it.each([
    ['a plain adapter', {}],
    ['a rank-stabilised one', { use_rslora: true }],
    ['alphas by module', { alpha_pattern: { q_proj: 5 } }],
    ['alphas by module, the usual one 0', { lora_alpha: 0, alpha_pattern: { q_proj: 5 } }],
    ['half of it', {}, ':0.5'],
  ])('is what a merge adds: %s', async (name, config, times = '') => {
    const adapter = await writeAdapter(join(folder, name), {
      tensors: modules,
      config: { rank_pattern: { down_proj: 2 }, ...config },
    })
    const path = `${adapter}${times}`
    const [apart, merged, plain] = [
      await blueprintOfAdapter(base, path),
      await makeBlueprint(base, { lora: [path] }),
      await makeBlueprint(base),
    ]
    const alpha = apart.metadata.get('adapter.lora.alpha')?.value as number
    for (const [tensor, rank] of [
      ['blk.0.attn_q.weight', 4],
      ['blk.0.ffn_down.weight', 2],
    ] as const) {
      const [a, b] = [await valuesOf(apart, `${tensor}.lora_a`), await valuesOf(apart, `${tensor}.lora_b`)]
      const added = product(b, a, rank, alpha / rank)
      const [after, before] = [await valuesOf(merged, tensor), await valuesOf(plain, tensor)]
      added.forEach((value, at) => expect((after[at] as number) - (before[at] as number)).toBeCloseTo(value, 5))
    }
  })

  it('is a pair of stacks for experts, of a base that is only a configuration', async () => {
    const tensors = Object.assign(
      {},
      ...[0, 1, 2].flatMap((expert) =>
        ['gate_proj', 'up_proj', 'down_proj'].map((kind) =>
          pair(`model.layers.1.mlp.experts.${expert}.${kind}`, kind === 'down_proj' ? 64 : 32, kind === 'down_proj' ? 32 : 64),
        ),
      ),
    ) as Record<string, number[]>
    const path = await writeAdapter(join(folder, 'of experts'), { tensors })
    const bare = join(folder, 'bare')
    await mkdir(bare)
    await copyFile(join(experts, 'config.json'), join(bare, 'config.json'))
    const { tensors: found } = await blueprintOfAdapter(bare, path)
    expect(found.map(({ name, shape }) => [name, shape])).toEqual([
      ['blk.1.ffn_down_exps.weight.lora_a', [3, 4, 32]],
      ['blk.1.ffn_down_exps.weight.lora_b', [3, 64, 4]],
      ['blk.1.ffn_gate_exps.weight.lora_a', [3, 4, 64]],
      ['blk.1.ffn_gate_exps.weight.lora_b', [3, 32, 4]],
      ['blk.1.ffn_up_exps.weight.lora_a', [3, 4, 64]],
      ['blk.1.ffn_up_exps.weight.lora_b', [3, 32, 4]],
    ])
    const some = Object.fromEntries(Object.entries(tensors).filter(([name]) => !name.includes('.2.')))
    const partial = await writeAdapter(join(folder, 'of some'), { tensors: some })
    await expect(blueprintOfAdapter(bare, partial)).rejects.toThrow(/some of the experts alone/)
  })

  it.each([
    ['DoRA', { tensors: modules, config: { use_dora: true } }, /a DoRA adapter, which GGUF cannot hold apart/],
    ['an output matrix', { tensors: { ...modules, 'lm_head.weight': [2080, 128] } }, /a lm_head\.weight of its own/],
    ['a bias', { tensors: { ...modules, [`${layer}.self_attn.q_proj.lora_B.bias`]: [128] } }, /a bias of model\.layers\.0/],
    ['another module', { tensors: pair('model.layers.9.mlp.down_proj', 128, 64) }, /model\.layers\.9.*does not have/],
    ['another width', { tensors: pair(`${layer}.mlp.down_proj`, 128, 65) }, /has the shape \[128, 65\]/],
  ])('is refused by name: %s', async (name, adapter, problem) => {
    const path = await writeAdapter(join(folder, `refused ${name}`), {
      ...adapter,
      config: { r: null, ...('config' in adapter ? adapter.config : {}) },
    })
    await expect(blueprintOfAdapter(base, path)).rejects.toThrow(problem)
  })

  it('has the tokens of an activated adapter', async () => {
    const config = { alora_invocation_tokens: [5, 7], rank_pattern: { down_proj: 2 } }
    const path = await writeAdapter(join(folder, 'activated'), { tensors: modules, config })
    const { metadata } = await blueprintOfAdapter(base, path)
    expect(metadata.get('adapter.alora.invocation_tokens')?.value).toEqual([5, 7])
    expect(metadata.get('general.type')?.value).toBe('adapter')
  })
})
