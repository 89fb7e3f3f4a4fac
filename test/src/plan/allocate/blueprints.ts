import type { Metadata } from '../../../../formats/gguf/index.js'
import type { Blueprint, BlueprintTensor } from '../../../../src/model/blueprint.js'
import { roleOfTensor } from '../../../../src/model/roles.js'

export interface Shapes {
  readonly architecture: string
  readonly layers: number
  readonly experts: number
  readonly heads: number
  readonly groups: number
  /** Name and row-major shape. */
  readonly tensors: readonly (readonly [name: string, shape: readonly number[]])[]
  readonly sourceType?: Blueprint['sourceType']
}

/** A blueprint without weights behind it, for what only looks at names and shapes. */
export function blueprintOf({ architecture, layers, experts, heads, groups, tensors, sourceType = 'BF16' }: Shapes): Blueprint {
  const metadata: Metadata = new Map([
    [`${architecture}.attention.head_count`, { type: 'uint32', value: heads }],
    [`${architecture}.attention.head_count_kv`, { type: 'uint32', value: groups }],
  ])
  const toTensor = ([name, shape]: Shapes['tensors'][number]): BlueprintTensor => {
    const role = roleOfTensor(name)
    const layer = /^blk\.(\d+)\./.exec(name)?.[1]
    const keepF32 = role === 'norm' || role === 'router' || shape.length < 2
    const recipe = { op: 'constant', values: [], shape } as const
    return { name, shape, role, layer: layer === undefined ? undefined : Number(layer), keepF32, recipe }
  }
  return { architecture, layers, experts, metadata, files: [], tensors: tensors.map(toTensor), sourceType, notes: [] }
}

/** DeepSeek-R1's shapes, from its config.json: 61 blocks, 3 of them dense, 256 routed experts and a shared one, latent attention. */
export function deepseekR1(): Blueprint {
  const [hidden, dense, moe, experts, heads, qLora, kvLora, nope, rope, value, vocabulary] = [
    7168, 18432, 2048, 256, 128, 1536, 512, 128, 64, 128, 129280,
  ] as const
  const feedForward = (suffix: string, width: number): [string, number[]][] => [
    [`ffn_gate${suffix}`, [width, hidden]],
    [`ffn_up${suffix}`, [width, hidden]],
    [`ffn_down${suffix}`, [hidden, width]],
  ]
  const block = (layer: number): [string, readonly number[]][] => {
    const parts: [string, number[]][] = [
      ['attn_norm', [hidden]],
      ['attn_q_a', [qLora, hidden]],
      ['attn_q_a_norm', [qLora]],
      ['attn_q_b', [heads * (nope + rope), qLora]],
      ['attn_kv_a_mqa', [kvLora + rope, hidden]],
      ['attn_kv_a_norm', [kvLora]],
      ['attn_k_b', [heads, kvLora, nope]],
      ['attn_v_b', [heads, value, kvLora]],
      ['attn_output', [hidden, heads * value]],
      ['ffn_norm', [hidden]],
    ]
    if (layer < 3) parts.push(...feedForward('', dense))
    else {
      parts.push(['ffn_gate_inp', [experts, hidden]], ...feedForward('_shexp', moe))
      parts.push(...feedForward('_exps', moe).map(([name, shape]): [string, number[]] => [name, [experts, ...shape]]))
    }
    return parts.map(([name, shape]) => [`blk.${layer}.${name}.weight`, shape])
  }
  const tensors: [string, readonly number[]][] = [
    ['token_embd.weight', [vocabulary, hidden]],
    ['output.weight', [vocabulary, hidden]],
    ['output_norm.weight', [hidden]],
    ...Array.from({ length: 61 }, (_, layer) => block(layer)).flat(),
  ]
  return blueprintOf({ architecture: 'deepseek2', layers: 61, experts, heads, groups: 1, tensors })
}
