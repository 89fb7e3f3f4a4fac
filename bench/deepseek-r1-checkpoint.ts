import { cp, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { repositoryPath } from './quality-subject.js'
import { type SparseTensor, writeSparseSafetensors } from './sparse-safetensors.js'

/** config.json of DeepSeek-R1, as far as it says what its tensors are. */
export const config = {
  architectures: ['DeepseekV3ForCausalLM'],
  model_type: 'deepseek_v3',
  vocab_size: 129_280,
  hidden_size: 7168,
  intermediate_size: 18_432,
  moe_intermediate_size: 2048,
  num_hidden_layers: 61,
  num_nextn_predict_layers: 1,
  num_attention_heads: 128,
  num_key_value_heads: 128,
  n_shared_experts: 1,
  n_routed_experts: 256,
  num_experts_per_tok: 8,
  n_group: 8,
  topk_group: 4,
  topk_method: 'noaux_tc',
  scoring_func: 'sigmoid',
  norm_topk_prob: true,
  routed_scaling_factor: 2.5,
  q_lora_rank: 1536,
  kv_lora_rank: 512,
  qk_nope_head_dim: 128,
  qk_rope_head_dim: 64,
  v_head_dim: 128,
  first_k_dense_replace: 3,
  moe_layer_freq: 1,
  hidden_act: 'silu',
  max_position_embeddings: 163_840,
  rms_norm_eps: 1e-6,
  rope_theta: 10_000,
  rope_scaling: {
    type: 'yarn',
    factor: 40,
    beta_fast: 32,
    beta_slow: 1,
    mscale: 1,
    mscale_all_dim: 1,
    original_max_position_embeddings: 4096,
  },
  tie_word_embeddings: false,
  bos_token_id: 0,
  eos_token_id: 1,
  torch_dtype: 'bfloat16',
  quantization_config: { quant_method: 'fp8', fmt: 'e4m3', activation_scheme: 'dynamic', weight_block_size: [128, 128] },
} as const

type Tensor = readonly [name: string, dtype: SparseTensor['dtype'], ...shape: number[]]

/** A weight of 8 bits with a multiplier for each block. */
function fp8(name: string, rows: number, columns: number): Tensor[] {
  return [
    [`${name}.weight`, 'F8_E4M3', rows, columns],
    [`${name}.weight_scale_inv`, 'F32', Math.ceil(rows / 128), Math.ceil(columns / 128)],
  ]
}

function feedForward(name: string, width: number): Tensor[] {
  const { hidden_size: hidden } = config
  return [
    ...fp8(`${name}.gate_proj`, width, hidden),
    ...fp8(`${name}.up_proj`, width, hidden),
    ...fp8(`${name}.down_proj`, hidden, width),
  ]
}

function layerTensors(layer: number): Tensor[] {
  const { hidden_size: hidden, num_attention_heads: heads, n_routed_experts: experts, moe_intermediate_size: width } = config
  const name = `model.layers.${layer}`
  const attention: Tensor[] = [
    [`${name}.input_layernorm.weight`, 'BF16', hidden],
    [`${name}.post_attention_layernorm.weight`, 'BF16', hidden],
    ...fp8(`${name}.self_attn.q_a_proj`, 1536, hidden),
    [`${name}.self_attn.q_a_layernorm.weight`, 'BF16', 1536],
    ...fp8(`${name}.self_attn.q_b_proj`, heads * 192, 1536),
    ...fp8(`${name}.self_attn.kv_a_proj_with_mqa`, 576, hidden),
    [`${name}.self_attn.kv_a_layernorm.weight`, 'BF16', 512],
    ...fp8(`${name}.self_attn.kv_b_proj`, heads * 256, 512),
    ...fp8(`${name}.self_attn.o_proj`, hidden, heads * 128),
  ]
  if (layer < config.first_k_dense_replace) return [...attention, ...feedForward(`${name}.mlp`, config.intermediate_size)]
  return [
    ...attention,
    [`${name}.mlp.gate.weight`, 'BF16', experts, hidden],
    [`${name}.mlp.gate.e_score_correction_bias`, 'F32', experts],
    ...feedForward(`${name}.mlp.shared_experts`, width),
    ...Array.from({ length: experts }, (_, expert) => feedForward(`${name}.mlp.experts.${expert}`, width)).flat(),
  ]
}

/**
 * DeepSeek-R1 as its repository has it, but for the weights, which are holes in the files, the tokenizer, which is a sample's, and the
 * layer for multi-token prediction: config.json, an index, one file of safetensors for each layer.
 */
export async function writeDeepseekR1(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true })
  const sample = repositoryPath('samples/deepseek-kjv-moe')
  for (const name of ['tokenizer.json', 'tokenizer_config.json']) await cp(join(sample, name), join(folder, name))
  await writeFile(join(folder, 'config.json'), JSON.stringify(config))
  const outside: Tensor[] = [
    ['model.embed_tokens.weight', 'BF16', config.vocab_size, config.hidden_size],
    ['model.norm.weight', 'BF16', config.hidden_size],
    ['lm_head.weight', 'BF16', config.vocab_size, config.hidden_size],
  ]
  const shards = [...Array.from({ length: config.num_hidden_layers }, (_, layer) => layerTensors(layer)), outside]
  const total = String(shards.length).padStart(6, '0')
  const weightMap: Record<string, string> = {}
  for (const [index, tensors] of shards.entries()) {
    const file = `model-${String(index + 1).padStart(5, '0')}-of-${total}.safetensors`
    await writeSparseSafetensors(
      join(folder, file),
      tensors.map(([name, dtype, ...shape]) => ({ name, dtype, shape })),
    )
    for (const [name] of tensors) weightMap[name] = file
  }
  await writeFile(join(folder, 'model.safetensors.index.json'), JSON.stringify({ metadata: {}, weight_map: weightMap }))
  return folder
}
