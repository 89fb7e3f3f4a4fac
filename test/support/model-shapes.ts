import type { Metadata, MetadataValue } from '../../formats/gguf/index.js'
import type { BlueprintTensor } from '../../src/model/blueprint.js'
import { keepsFloat32 } from '../../src/model/roles.js'

/** The front of a GGUF file: what it says of a model, and its tensors. */
export interface ModelHeader {
  readonly metadata: Metadata
  readonly tensors: readonly Pick<BlueprintTensor, 'name' | 'shape' | 'keepF32'>[]
}

type Shapes = [name: string, shape: number[]][]

const uint32 = (value: number): MetadataValue => ({ type: 'uint32', value })
const float32 = (value: number): MetadataValue => ({ type: 'float32', value })

function header(architecture: string, keys: Readonly<Record<string, MetadataValue>>, tensors: Shapes): ModelHeader {
  return {
    metadata: new Map<string, MetadataValue>([
      ['general.architecture', { type: 'string', value: architecture }],
      ...Object.entries(keys).map(([key, value]) => [`${architecture}.${key}`, value] as const),
      ['tokenizer.ggml.model', { type: 'string', value: 'no_vocab' }],
    ]),
    tensors: tensors.map(([name, shape]) => ({ name, shape, keepF32: keepsFloat32(name, shape) })),
  }
}

function outside(vocabulary: number, hidden: number): Shapes {
  return [
    ['token_embd.weight', [vocabulary, hidden]],
    ['output_norm.weight', [hidden]],
    ['output.weight', [vocabulary, hidden]],
  ]
}

function feedForward(block: string, suffix: string, width: number, hidden: number, experts: readonly number[] = []): Shapes {
  return [
    [`${block}.ffn_gate${suffix}.weight`, [...experts, width, hidden]],
    [`${block}.ffn_up${suffix}.weight`, [...experts, width, hidden]],
    [`${block}.ffn_down${suffix}.weight`, [...experts, hidden, width]],
  ]
}

/** A model of the architecture llama, dense or with experts. */
export function llamaHeader(shape: {
  readonly hidden: number
  readonly width: number
  readonly heads: number
  readonly groups: number
  readonly headLength?: number
  readonly layers: number
  readonly vocabulary: number
  readonly experts?: readonly [count: number, used: number]
}): ModelHeader {
  const { hidden, width, heads, groups, layers, vocabulary, experts } = shape
  const headLength = shape.headLength ?? hidden / heads
  const block = (layer: number): Shapes => {
    const name = `blk.${layer}`
    return [
      [`${name}.attn_norm.weight`, [hidden]],
      [`${name}.attn_q.weight`, [heads * headLength, hidden]],
      [`${name}.attn_k.weight`, [groups * headLength, hidden]],
      [`${name}.attn_v.weight`, [groups * headLength, hidden]],
      [`${name}.attn_output.weight`, [hidden, heads * headLength]],
      [`${name}.ffn_norm.weight`, [hidden]],
      ...(experts === undefined
        ? feedForward(name, '', width, hidden)
        : [
            [`${name}.ffn_gate_inp.weight`, [experts[0], hidden]] as [string, number[]],
            ...feedForward(name, '_exps', width, hidden, [experts[0]]),
          ]),
    ]
  }
  const keys = {
    context_length: uint32(131_072),
    embedding_length: uint32(hidden),
    block_count: uint32(layers),
    feed_forward_length: uint32(width),
    'attention.head_count': uint32(heads),
    'attention.head_count_kv': uint32(groups),
    'attention.layer_norm_rms_epsilon': float32(1e-5),
    'attention.key_length': uint32(headLength),
    'attention.value_length': uint32(headLength),
    'rope.dimension_count': uint32(headLength),
    vocab_size: uint32(vocabulary),
    ...(experts !== undefined && { expert_count: uint32(experts[0]), expert_used_count: uint32(experts[1]) }),
  }
  return header('llama', keys, [...outside(vocabulary, hidden), ...Array.from({ length: layers }, (_, at) => block(at)).flat()])
}

/** A model of the architecture deepseek2: latent attention, small experts after some dense layers. */
export function deepseekHeader(shape: {
  readonly hidden: number
  readonly width: number
  readonly expertWidth: number
  readonly experts: number
  readonly used: number
  readonly shared: number
  readonly groups?: readonly [count: number, used: number]
  readonly sigmoid: boolean
  readonly heads: number
  readonly queryLatent?: number
  readonly latent: number
  readonly plain: number
  readonly rotated: number
  readonly valueLength: number
  readonly layers: number
  readonly dense: number
  readonly vocabulary: number
}): ModelHeader {
  const { hidden, width, expertWidth, experts, heads, queryLatent, latent, plain, rotated, valueLength, layers, vocabulary } =
    shape
  const queries = heads * (plain + rotated)
  const block = (layer: number): Shapes => {
    const name = `blk.${layer}`
    const query: Shapes =
      queryLatent === undefined
        ? [[`${name}.attn_q.weight`, [queries, hidden]]]
        : [
            [`${name}.attn_q_a.weight`, [queryLatent, hidden]],
            [`${name}.attn_q_a_norm.weight`, [queryLatent]],
            [`${name}.attn_q_b.weight`, [queries, queryLatent]],
          ]
    return [
      [`${name}.attn_norm.weight`, [hidden]],
      ...query,
      [`${name}.attn_kv_a_mqa.weight`, [latent + rotated, hidden]],
      [`${name}.attn_kv_a_norm.weight`, [latent]],
      [`${name}.attn_k_b.weight`, [heads, latent, plain]],
      [`${name}.attn_v_b.weight`, [heads, valueLength, latent]],
      [`${name}.attn_output.weight`, [hidden, heads * valueLength]],
      [`${name}.ffn_norm.weight`, [hidden]],
      ...(layer < shape.dense
        ? feedForward(name, '', width, hidden)
        : [
            [`${name}.ffn_gate_inp.weight`, [experts, hidden]] as [string, number[]],
            ...(shape.sigmoid ? ([[`${name}.exp_probs_b.bias`, [experts]]] as Shapes) : []),
            ...feedForward(name, '_exps', expertWidth, hidden, [experts]),
            ...feedForward(name, '_shexp', shape.shared * expertWidth, hidden),
          ]),
    ]
  }
  const keys = {
    context_length: uint32(163_840),
    embedding_length: uint32(hidden),
    block_count: uint32(layers),
    feed_forward_length: uint32(width),
    'attention.head_count': uint32(heads),
    'attention.head_count_kv': uint32(1),
    'attention.layer_norm_rms_epsilon': float32(1e-6),
    'attention.key_length': uint32(latent + rotated),
    'attention.value_length': uint32(latent),
    'attention.key_length_mla': uint32(plain + rotated),
    'attention.value_length_mla': uint32(valueLength),
    'attention.kv_lora_rank': uint32(latent),
    ...(queryLatent !== undefined && { 'attention.q_lora_rank': uint32(queryLatent) }),
    'rope.dimension_count': uint32(rotated),
    leading_dense_block_count: uint32(shape.dense),
    expert_count: uint32(experts),
    expert_used_count: uint32(shape.used),
    expert_shared_count: uint32(shape.shared),
    expert_feed_forward_length: uint32(expertWidth),
    expert_weights_scale: float32(2.5),
    expert_weights_norm: { type: 'bool', value: shape.sigmoid } as const,
    expert_gating_func: uint32(shape.sigmoid ? 2 : 1),
    ...(shape.groups !== undefined && {
      expert_group_count: uint32(shape.groups[0]),
      expert_group_used_count: uint32(shape.groups[1]),
    }),
    vocab_size: uint32(vocabulary),
  }
  return header('deepseek2', keys, [
    ...outside(vocabulary, hidden),
    ...Array.from({ length: layers }, (_, at) => block(at)).flat(),
  ])
}

/** DeepSeek-R1 (and V3), from its config.json. */
export const deepseekR1Header = deepseekHeader({
  hidden: 7168,
  width: 18_432,
  expertWidth: 2048,
  experts: 256,
  used: 8,
  shared: 1,
  groups: [8, 4],
  sigmoid: true,
  heads: 128,
  queryLatent: 1536,
  latent: 512,
  plain: 128,
  rotated: 64,
  valueLength: 128,
  layers: 61,
  dense: 3,
  vocabulary: 129_280,
})
