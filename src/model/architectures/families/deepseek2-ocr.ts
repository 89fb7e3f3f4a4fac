import { baseKeys, countKey, dimensionsOf, floatKey } from '../base.js'
import { windowNote } from '../check-config-fields.js'
import { count, countOrNone, size } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { boundedExperts, gatedFeedForward, routedExperts } from '../feed-forward.js'
import { text } from '../metadata.js'
import { tensor } from '../tensor-mappings.js'
import { type Family, keysAsWide } from '../types.js'

/** The text models of DeepSeek-OCR and Unlimited-OCR: DeepSeek V2's experts behind plain attention, whose halves of a head turn. */
export const deepseek2Ocr: Family = {
  architecture: 'deepseek2-ocr',
  classes: ['DeepseekOCRForCausalLM', 'UnlimitedOCRForCausalLM'],
  fields: {
    // What the code of the checkpoints fills in.
    defaults: { rms_norm_eps: 1e-6, tie_word_embeddings: false },
    supported: {
      lm_head: [true],
      moe_layer_freq: [1],
      n_group: [1],
      norm_topk_prob: [false],
      rm_head: [false],
      scoring_func: ['softmax'],
      sliding_window_size: windowNote,
      topk_group: [1],
      topk_method: ['greedy'],
      use_mla: [false],
      v_head_dim: [0],
      qk_nope_head_dim: [0],
      qk_rope_head_dim: [0],
      kv_lora_rank: [],
      q_lora_rank: [],
    },
    ignored: ['candidate_resolutions', 'global_view_pos', 'projector_config', 'tile_tag'],
  },
  keys: (config) => [
    ...baseKeys(config),
    ...countKey(config, 'leading_dense_block_count', 'first_k_dense_replace'),
    ...countKey(config, 'vocab_size', 'vocab_size'),
    ...countKey(config, 'expert_feed_forward_length', 'moe_intermediate_size'),
    ...countKey(config, 'expert_shared_count', 'n_shared_experts'),
    ...floatKey(config, 'expert_weights_scale', 'routed_scaling_factor'),
    ...countKey(config, 'rope.dimension_count', 'qk_rope_head_dim'),
    ...countKey(config, 'attention.sliding_window', 'sliding_window_size', 'sliding_window'),
  ],
  tensors: (config) => {
    const { layers } = dimensionsOf(config)
    const dense = config.get(countOrNone, 'first_k_dense_replace')
    const experts = boundedExperts(config, layers - dense)
    const width = config.get(size, 'moe_intermediate_size')
    const shared = config.get(count, 'n_shared_experts')
    return decoderTensors(config, {
      feedForward: ({ hidden, feedForward }, layer) =>
        layer < dense
          ? gatedFeedForward('mlp', hidden, feedForward)
          : [
              tensor('mlp.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
              ...routedExperts('mlp.experts', experts, hidden, width),
              ...gatedFeedForward('mlp.shared_experts', hidden, shared * width, { suffix: '_shexp' }),
            ],
    })
  },
  widths: { feedForward: true, fixed: keysAsWide },
  quirks: {
    firstKeys: () => [['tokenizer.chat_template', text("{% for m in messages %}{{m['content']}}{% endfor %}")]],
    leaveOut: (name) =>
      /sam_model|qwen2_model/.test(name) ? 'of vision or audio encoders: the GGUF file holds the text model only' : undefined,
  },
}
