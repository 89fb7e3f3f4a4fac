import { configFileName } from '../checkpoint/index.js'
import { type Fields, type ModelConfig, showField } from './config.js'
import { ropeFields } from './rope.js'
import type { FieldRule, FieldTable } from './types.js'
import { words } from './words.js'

/** Fields that change nothing in any family: how a model was trained and saved, and what is read elsewhere. */
const ignored = new Set(
  words(`
  architectures model_type auto_map torch_dtype dtype transformers_version _name_or_path name_or_path _commit_hash
  _attn_implementation _attn_implementation_autoset attn_implementation _experts_implementation unsloth_version
  unsloth_fixed quantization quantization_config compression_config task_specific_params transformers.js_config initializer_range
  initializer_factor init_std initializer_cutoff_factor use_cache cache_dtype pretraining_tp attention_dropout
  attention_dropout_prob attn_pdrop embd_pdrop resid_pdrop hidden_dropout hidden_dropout_prob dropout dropout_rate
  resid_dropout embedding_dropout residual_dropout classifier_dropout classifier_dropout_prob
  attention_probs_dropout_prob emb_dropout_prob output_dropout ffn_dropout router_jitter_noise moe_jitter_eps
  bos_token_id eos_token_id pad_token_id unk_token_id sep_token_id cls_token_id mask_token_id decoder_start_token_id
  tokenizer_class bos_token eos_token pad_token eod_token_id im_start_token_id max_length min_length temperature top_k
  top_p do_sample num_beams repetition_penalty generation_config output_attentions output_hidden_states
  output_router_logits router_aux_loss_coef aux_loss_alpha seq_aux router_z_loss_coef router_bias_update_rate
  norm_aux_loss return_dict torchscript use_return_dict chunk_size_feed_forward is_decoder is_encoder_decoder
  cross_attention_hidden_size finetuning_task problem_type id2label label2id num_labels
  gradient_checkpointing use_flash_attn flash_attn use_flash_attention_2 ep_size keys_to_ignore_at_inference
  use_mamba_kernels use_kernels fused_kernels training tensor_parallel_size tp_size vision_config audio_config
  image_token_id video_token_id audio_token_id vision_start_token_id vision_end_token_id vision_token_id
  image_token_index boi_token_index eoi_token_index boi_token_id eoi_token_id mm_tokens_per_image text_config
  llm_config lm_config language_config thinker_config talker_config vision_feature_layer vision_feature_select_strategy
  projector_hidden_act image_seq_length multimodal_projector_bias spatial_merge_size original_max_position_embeddings
  ignore_index sentence_transformers use_bfloat16 fp16 bf16 fp32 onnx seq_length
  attn_dropout_prob use_flash_attention image_start_token_id image_end_token_id video_start_token_id video_end_token_id
  audio_token_index start_image_token_index end_image_token_index mm_hidden_size mm_projector_type mm_vision_tower
  projector_hidden_size
`),
)

/**
 * Fields that change the computation, and the values at which they do not. A family that supports another value reads the field or names
 * it in its table; any other is refused, since the file could not say it.
 */
const neutral: Readonly<Record<string, FieldRule>> = {
  hidden_act: ['silu', 'swish'],
  hidden_activation: ['silu', 'swish'],
  activation_function: ['silu', 'swish'],
  mlp_hidden_act: ['silu', 'swish'],
  hidden_activation_fn: ['silu', 'swish'],
  attention_bias: [false],
  attn_bias: [false],
  qkv_bias: [false],
  mlp_bias: [false],
  use_bias: [false],
  use_qkv_bias: [false],
  add_bias_linear: [false],
  add_qkv_bias: [false],
  attention_out_bias: [false],
  attn_out_bias: [false],
  lm_head_bias: [false],
  sliding_window: windowNote,
  use_sliding_window: [false],
  window_size: windowNote,
  interleaved_sliding_window: [],
  sliding_window_pattern: [1],
  layer_types: (value) => Array.isArray(value) && value.every((type) => type === 'full_attention' || type === 'attention'),
  no_rope_layers: (value) => Array.isArray(value) && value.every((rotated) => rotated === 1),
  rope_interleave: [true, false],
  rope_interleaved: [false],
  interleaved: [false],
  rotary_emb_interleaved: [false],
  partial_rotary_factor: [1],
  rotary_pct: [1],
  rope_pct: [1],
  rope_percent: [1],
  rope_dim: [],
  rotary_dim: [],
  attn_logit_softcapping: [0],
  final_logit_softcapping: [0],
  logit_scale: [1],
  logits_scaling: [1],
  embedding_multiplier: [1],
  residual_multiplier: [1],
  attention_multiplier: [],
  lm_head_multiplier: [1],
  emb_scale: [1],
  scale_emb: [1],
  scale_depth: [],
  dim_model_base: [],
  scale_embedding: [false],
  scale_attn_weights: [true],
  scale_attn_by_inverse_layer_idx: [false],
  query_pre_attn_scalar: [],
  attention_chunk_size: [],
  dual_chunk_attention_config: dualChunkNote,
  no_rope_layer_interval: [0],
  attn_temperature_tuning: [false, 0],
  llama_4_scaling: [],
  use_qk_norm: [false],
  qk_norm: [false],
  qk_layernorm: [false],
  use_query_key_norm: [false],
  clip_qkv: [],
  alibi: [false],
  use_alibi: [false],
  parallel_attn: [false],
  use_parallel_residual: [false],
  parallel_attention: [false],
  position_embedding_type: ['rope', 'rotary', 'absolute', 'none'],
  normalize_before: [true],
  norm_type: ['rmsnorm', 'RMSNorm', 'rms_norm'],
  rms_norm_add_unit_offset: [false],
  moe_layer_freq: (value) => value === 1 || (Array.isArray(value) && value.every((layer) => layer === 1)),
  decoder_sparse_step: [1],
  interleave_moe_layer_step: [1],
  mlp_only_layers: (value) => Array.isArray(value) && value.length === 0,
  num_nextn_predict_layers: [0],
  mtp_num_hidden_layers: [0],
  is_causal: [true],
  add_cross_attention: [false],
  cross_attention_layers: (value) => Array.isArray(value) && value.length === 0,
}

/** A window is no limit within the context; beyond it, the file attends to what the original does not see. */
export function windowNote(value: unknown, { fields }: ModelConfig): boolean | string {
  if (typeof value !== 'number') return false
  if (value <= 0) return true
  const context = fields['max_position_embeddings']
  if (fields['use_sliding_window'] === false || (typeof context === 'number' && value >= context)) return true
  return `llama.cpp has no sliding window for this architecture, and config.json has one of ${value}: the model matches the original only up to ${value} tokens.`
}

/** Attention in two kinds of chunks (Qwen2.5-1M): within one chunk it is the usual one. */
function dualChunkNote(value: unknown): boolean | string {
  const length: unknown = typeof value === 'object' && value !== null && 'chunk_size' in value ? value.chunk_size : undefined
  return `llama.cpp has no chunked attention for this architecture (dual_chunk_attention_config): the model matches the original only up to ${typeof length === 'number' ? length : 'one chunk of'} tokens.`
}

/** Kinds of rope scaling that the keys of every architecture can say. */
const commonRopeKinds = ['default', 'linear', 'yarn', 'dynamic']

/** Fields of one way to scale rotations, whose neutral values are their absence. */
const neutralRope: Readonly<Record<string, FieldRule>> = {
  mrope_interleaved: [false],
  attention_scaling: [1],
  alpha: [1],
  llama_4_scaling_beta: [0],
  partial_rotary_factor: [1],
  // transformers divides one by the other, where both are given; GGUF has no key for either.
  mscale: (_, { rope }) => !(rope.mscale && rope.mscale_all_dim),
}

/**
 * Judges the fields of config.json that the family's keys and tensors have not read.
 * @returns notes for the user.
 * @throws MqError CONFIG_INVALID where a field changes the computation in a way that the file cannot say.
 */
export function checkConfigFields(config: ModelConfig, table: FieldTable = {}): string[] {
  const { supported = {}, ignored: own = [] } = table
  const { kind } = config.rope
  const notes: string[] = []
  const unknown: string[] = []
  const judge = (name: string, value: unknown, rule: FieldRule): void => {
    const verdict = Array.isArray(rule) ? rule.includes(value) : (rule as Exclude<FieldRule, readonly unknown[]>)(value, config)
    if (verdict === false) throw config.unsupported(unsupported(name, value, rule))
    if (typeof verdict === 'string' && !notes.includes(verdict)) notes.push(verdict)
  }
  for (const [name, value] of config.entries) {
    if (value === null || value === undefined) continue
    const special = Object.hasOwn(supported, name) ? supported[name] : undefined
    if (special !== undefined) judge(name, value, special)
    else if (config.read.has(name) || ignored.has(name) || own.includes(name)) continue
    else if (Object.hasOwn(neutral, name)) judge(name, value, neutral[name] as FieldRule)
    else unknown.push(name)
  }
  if (!commonRopeKinds.includes(kind) && table.ropeKinds?.includes(kind) !== true) {
    throw config.unsupported(`rope_scaling has the type ${kind}, which this architecture does not have`)
  }
  const rules = { ...neutralRope, ...supported }
  for (const [name, value] of ropeEntries(config.fields)) {
    const [last = ''] = name.split('.').slice(-1)
    const rule = Object.hasOwn(rules, `rope.${last}`)
      ? rules[`rope.${last}`]
      : Object.hasOwn(rules, last)
        ? rules[last]
        : undefined
    if (config.read.has(`rope.${last}`)) continue
    if (rule !== undefined) judge(name, value, rule)
    else if (!ropeFields.has(last) && !own.includes(`rope.${last}`)) unknown.push(name)
  }
  // Rules consult fields too: what nobody has looked at is known only here.
  const left = unknown.filter((name) => !config.consulted.has(name))
  if (left.length > 0) {
    const [are, it] = left.length === 1 ? ['a field', 'it is'] : ['fields', 'they are']
    const file = configFileName(config.checkpoint.config)
    notes.push(`${file} has ${are} that mq does not know for this architecture, and ${it} ignored: ${left.join(', ')}.`)
  }
  return notes
}

function unsupported(name: string, value: unknown, rule: FieldRule): string {
  const known = Array.isArray(rule) && rule.length > 0 ? `; supported: ${rule.map(showField).join(', ')}` : ''
  return `${name} is ${showField(value)}, which changes the computation in a way that GGUF cannot express for this architecture${known}`
}

/** Fields within rope_parameters or rope_scaling, with their paths. */
function ropeEntries(fields: Fields): [string, unknown][] {
  const parent =
    fields['rope_parameters'] === undefined || fields['rope_parameters'] === null ? 'rope_scaling' : 'rope_parameters'
  const own = fields[parent]
  if (typeof own !== 'object' || own === null) return []
  return Object.entries(own).flatMap(([name, value]): [string, unknown][] => {
    if (value === null || value === undefined) return []
    if (name !== 'full_attention' && name !== 'sliding_attention') return [[`${parent}.${name}`, value]]
    return Object.entries(value as object)
      .filter(([, inner]) => inner !== null && inner !== undefined)
      .map(([inner, innerValue]) => [`${parent}.${name}.${inner}`, innerValue])
  })
}
