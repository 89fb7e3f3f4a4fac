import type { Shape } from '../recipe/index.js'
import { familyOfArchitecture } from './architectures/index.js'
import { words } from './architectures/words.js'
import type { TensorRole } from './blueprint.js'

/**
 * Roles by the middle of a GGUF name, without `blk.N.` and the suffix: the names that all architectures share. A family may have more.
 * Source: gguf-py/gguf/constants.py of llama.cpp v0.5.0.
 */
const sharedRoles: Readonly<Record<string, TensorRole>> = {
  token_embd: 'embedding',
  output: 'output',
  attn_q: 'attention-q',
  attn_q_b: 'attention-q',
  attn_q_a: 'attention-q-a',
  attn_k: 'attention-k',
  attn_v: 'attention-v',
  attn_qkv: 'attention-qkv',
  attn_kv_a_mqa: 'attention-kv-a',
  attn_k_b: 'attention-k-b',
  attn_kv_b: 'attention-k-b', // both in one, in files made before llama.cpp split them
  attn_v_b: 'attention-v-b',
  attn_output: 'attention-output',
  ffn_gate: 'ffn-gate',
  ffn_up: 'ffn-up',
  ffn_down: 'ffn-down',
  ffn_gate_shexp: 'shared-expert-gate',
  ffn_up_shexp: 'shared-expert-up',
  ffn_down_shexp: 'shared-expert-down',
  ffn_gate_exps: 'expert-gate',
  ffn_up_exps: 'expert-up',
  ffn_gate_up_exps: 'expert-up',
  ffn_down_exps: 'expert-down',
  ffn_gate_inp: 'router',
  ffn_gate_inp_shexp: 'router',
  exp_probs_b: 'router',
}

const namePattern = /^(?:blk\.(\d+)\.)?(.+?)(?:\.(weight|bias))?$/

/**
 * What a tensor does, from its GGUF name; `other` where neither the names that all share nor the family of the architecture know it.
 * @param architecture general.architecture.
 */
export function roleOfTensor(ggufName: string, architecture?: string): TensorRole {
  const found = namePattern.exec(ggufName)?.[2] ?? ggufName
  // Blocks of an encoder and of a decoder beside it.
  const middle = found.replace(/^(enc|dec)\.blk\.\d+\./, '')
  const ownRoles = architecture === undefined ? undefined : familyOfArchitecture(architecture)?.roles
  for (const roles of [ownRoles, sharedRoles])
    if (roles !== undefined && Object.hasOwn(roles, middle)) return roles[middle] as TensorRole
  return middle.endsWith('_norm') ? 'norm' : 'other'
}

/** The block that a tensor stands in, from its GGUF name; undefined outside the blocks. */
export function layerOfTensor(ggufName: string): number | undefined {
  const layer = namePattern.exec(ggufName)?.[1]
  return layer === undefined ? undefined : Number(layer)
}

/** Matrices that llama.cpp's converter writes as F32 whatever the output type. Source: prepare_tensors of conversion/base.py, v0.7.0. */
const float32Only = new Set(
  words(`
  ffn_gate_inp ffn_gate_inp_shexp position_embd token_types ssm_conv1d shortconv.conv time_mix_first time_mix_w1
  time_mix_w2 time_mix_decay_w1 time_mix_decay_w2 time_mix_lerp_fused altup_correct_coef altup_predict_coef
  ssm_conv1d_q ssm_conv1d_k ssm_conv1d_v indexer.proj
`),
)

/** Whether a tensor is F32 whatever the output type: vectors, norms, routers, and all that is no weight. */
export function keepsFloat32(ggufName: string, shape: Shape, architecture?: string): boolean {
  const [, , middle = '', suffix] = namePattern.exec(ggufName) ?? []
  if (shape.length <= 1 || suffix !== 'weight' || middle.endsWith('_norm') || float32Only.has(middle)) return true
  return (architecture === undefined ? undefined : familyOfArchitecture(architecture)?.quirks?.float32)?.test(ggufName) ?? false
}
