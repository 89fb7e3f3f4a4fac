import { concat, constant, negativeExp, type Recipe, reshape, slice, takeColumns } from '../../recipe/index.js'
import { countKey } from './base.js'
import { count, type ModelConfig, size } from './config.js'
import { uint32 } from './metadata.js'
import { linear, norm, split, type TensorMapping, tensor } from './tensor-mappings.js'
import type { Entry } from './types.js'

/** The numbers of linear attention by a gated delta rule, whose key heads are shared by groups of value heads. */
export interface GatedDelta {
  readonly hidden: number
  /** Taps of the convolution over queries, keys and values. */
  readonly taps: number
  readonly keyHeads: number
  readonly valueHeads: number
  readonly keyLength: number
  readonly valueLength: number
}

/** @throws MqError CONFIG_INVALID. */
export function gatedDeltaOf(config: ModelConfig): GatedDelta {
  const found = {
    hidden: config.get(size, 'hidden_size'),
    taps: config.get(count, 'linear_conv_kernel_dim'),
    keyHeads: config.get(count, 'linear_num_key_heads'),
    valueHeads: config.get(count, 'linear_num_value_heads'),
    keyLength: config.get(count, 'linear_key_head_dim'),
    valueLength: config.get(count, 'linear_value_head_dim'),
  }
  if (found.valueHeads % found.keyHeads !== 0) {
    throw config.invalid(`linear_num_value_heads is ${found.valueHeads}, no multiple of the ${found.keyHeads} key heads`)
  }
  return found
}

/** Keys of linear attention, under the names of state spaces. Source: Qwen3NextModel of conversion/qwen.py, llama.cpp v0.7.0. */
export function gatedDeltaKeys(config: ModelConfig): Entry[] {
  const { valueHeads, valueLength } = gatedDeltaOf(config)
  return [
    ...countKey(config, 'ssm.conv_kernel', 'linear_conv_kernel_dim'),
    ...countKey(config, 'ssm.state_size', 'linear_key_head_dim'),
    ...countKey(config, 'ssm.group_count', 'linear_num_key_heads'),
    ...countKey(config, 'ssm.time_step_rank', 'linear_num_value_heads'),
    ['ssm.inner_size', uint32(valueHeads * valueLength)],
  ]
}

interface GatedDeltaOptions {
  /** The checkpoint's name of the whole. */
  readonly from?: string
  /** Whether queries, keys, values and gates come in one matrix, head by head, and both steps in another (Qwen3-Next). */
  readonly fused?: boolean
}

/**
 * The rows of linear attention. Where all is not fused, value heads change places: the checkpoint has those of one key head together,
 * ggml repeats the key heads as a whole (llama.cpp PR 19468).
 */
export function gatedDelta(
  numbers: GatedDelta,
  { from = 'linear_attn', fused = false }: GatedDeltaOptions = {},
): TensorMapping[] {
  const { hidden, taps, keyHeads, valueHeads, keyLength, valueLength } = numbers
  const keys = keyHeads * keyLength
  const values = valueHeads * valueLength
  const channels = 2 * keys + values
  const turned = (input: Recipe, headLength: number): Recipe => (fused ? input : tiled(input, keyHeads, headLength))
  /** Rows of queries and keys as they are, those of values turned. */
  const turnedValues = (input: Recipe): Recipe =>
    fused || valueHeads === keyHeads
      ? input
      : concat([slice(input, 0, 0, 2 * keys), turned(slice(input, 0, 2 * keys, channels), valueLength)])
  const turnedColumns = (input: Recipe): Recipe =>
    fused || valueHeads === keyHeads ? input : takeColumns(input, constant(tiledIndex(numbers)))
  return [
    tensor(`${from}.A_log`, 'ssm_a', [valueHeads], { transform: (input) => negativeExp(turned(input, 1)) }),
    tensor(`${from}.dt_bias`, 'ssm_dt.bias', [valueHeads], { transform: (input) => turned(input, 1) }),
    tensor(`${from}.conv1d.weight`, 'ssm_conv1d.weight', [channels, 1, taps], {
      transform: (input) => turnedValues(reshape(input, [channels, taps])),
    }),
    norm(`${from}.norm`, 'ssm_norm', valueLength),
    ...linear(`${from}.out_proj`, 'ssm_out', [hidden, values], { bias: false, transform: turnedColumns }),
    ...(fused
      ? [tensor(`${from}.in_proj_ba.weight`, 'ssm_ba.weight', [2 * valueHeads, hidden]), fusedProjection(from, numbers)]
      : [
          ...linear(`${from}.in_proj_qkv`, 'attn_qkv', [channels, hidden], { bias: false, transform: turnedValues }),
          ...gates(from, 'in_proj_z', 'attn_gate', valueLength),
          ...gates(from, 'in_proj_b', 'ssm_beta', 1),
          ...gates(from, 'in_proj_a', 'ssm_alpha', 1),
        ]),
  ]

  function gates(root: string, name: string, to: string, headLength: number): TensorMapping[] {
    const transform = (input: Recipe): Recipe => turned(input, headLength)
    return linear(`${root}.${name}`, to, [valueHeads * headLength, hidden], { bias: false, transform })
  }
}

/** Value heads that stand key head by key head, put so that the first of each come first. */
function tiled(input: Recipe, keyHeads: number, headLength: number): Recipe {
  const columns = input.shape.slice(1)
  const perKey = (input.shape[0] ?? 0) / (keyHeads * headLength)
  if (perKey === 1) return input
  const grouped = reshape(input, [keyHeads, perKey, headLength, ...(columns.length === 0 ? [1] : columns)])
  const parts = Array.from({ length: perKey }, (_, head) => slice(grouped, 1, head, head + 1))
  return reshape(concat(parts), input.shape)
}

/** The same order of columns: which one of the checkpoint comes where. */
function tiledIndex({ keyHeads, valueHeads, valueLength }: GatedDelta): number[] {
  const perKey = valueHeads / keyHeads
  return Array.from({ length: valueHeads * valueLength }, (_, column) => {
    const head = Math.floor(column / valueLength)
    return ((head % keyHeads) * perKey + Math.floor(head / keyHeads)) * valueLength + (column % valueLength)
  })
}

/** For each key head its query, its key, its values and their gates: all queries, keys and values come together, and all gates. */
function fusedProjection(from: string, { hidden, keyHeads, valueHeads, keyLength, valueLength }: GatedDelta): TensorMapping {
  const ofGroup = (valueHeads / keyHeads) * valueLength
  const perHead = 2 * keyLength + 2 * ofGroup
  return split(`${from}.in_proj_qkvz.weight`, [keyHeads * perHead, hidden], (input) => {
    const byHead = reshape(input, [keyHeads, perHead, hidden])
    const part = (start: number, length: number): Recipe =>
      reshape(slice(byHead, 1, start, start + length), [keyHeads * length, hidden])
    return [
      {
        name: 'attn_qkv.weight',
        recipe: concat([part(0, keyLength), part(keyLength, keyLength), part(2 * keyLength, ofGroup)]),
      },
      { name: 'attn_gate.weight', recipe: part(2 * keyLength + ofGroup, ofGroup) },
    ]
  })
}
