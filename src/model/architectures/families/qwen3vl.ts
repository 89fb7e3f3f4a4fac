import { type Recipe, slice, transpose } from '../../../recipe/index.js'
import { baseKeys, countKey, dimensionsOf } from '../base.js'
import { type Fields, type ModelConfig, size } from '../config.js'
import { decoderTensors } from '../decoder.js'
import { boundedExperts, routedExperts } from '../feed-forward.js'
import { text, uint32 } from '../metadata.js'
import { normedAttention, ofThinker, qwenDefaults, qwenIgnored, windowed } from '../qwen.js'
import { tokenId } from '../special-token-ids.js'
import { split, type TensorMapping, tensor } from '../tensor-mappings.js'
import type { Entry, Family, FieldTable } from '../types.js'

const fields: FieldTable = {
  defaults: { ...qwenDefaults, head_dim: 128, max_position_embeddings: 128_000, rope_theta: 5e6 },
  supported: { ...windowed, mrope_interleaved: [true], norm_topk_prob: [true], decoder_sparse_step: [1] },
  // The order of the three axes of positions, which are the same for text; and fields of the parts that hear and speak.
  ignored: [
    ...qwenIgnored,
    'rope.mrope_interleaved',
    'rope.interleaved',
    'enable_audio_output',
    'support_languages',
    'im_end_token_id',
  ],
  ropeKinds: ['mrope'],
}

/** The text model of Qwen3-VL: Qwen3 with positions along three axes; pictures are also added to the first layers (deepstack). */
export const qwen3vl: Family = {
  architecture: 'qwen3vl',
  classes: ['Qwen3VLForConditionalGeneration', 'Qwen3ASRForConditionalGeneration'],
  fields,
  keys: (config) => [...baseKeys(config), deepstack(config)],
  tensors: (config) => decoderTensors(config, { attention: normedAttention }),
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
  quirks: { rename: ofThinker, adjustTokenizer },
}

/** The same with experts. */
export const qwen3vlmoe: Family = {
  architecture: 'qwen3vlmoe',
  classes: ['Qwen3VLMoeForConditionalGeneration', 'Qwen3OmniMoeForConditionalGeneration'],
  fields,
  keys: (config) => [
    ...baseKeys(config),
    ...countKey(config, 'expert_feed_forward_length', 'moe_intermediate_size'),
    deepstack(config),
  ],
  tensors: (config) =>
    decoderTensors(config, { attention: normedAttention, feedForward: (_, layer) => expertTensors(config, layer) }),
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
  quirks: { rename: ofThinker, adjustTokenizer },
}

/** Models that hear, whose turns end as the converter says and not as their files do. */
function hears(className: string): boolean {
  return /^Qwen3(ASR|OmniMoe)/.test(className)
}

/** What the converter writes for models that turn speech into text. Source: Qwen3ASRTextModel of conversion/qwen3vl.py, llama.cpp v0.7.0. */
const chatTemplate = [
  "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}",
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
].join('')

function adjustTokenizer(entries: readonly Entry[], config: Fields | undefined, { className }: ModelConfig): readonly Entry[] {
  const end = tokenId(entries, '<|im_end|>')
  if (!hears(className) || end === undefined) return entries
  const changed = new Map(entries)
  // generation_config.json names one, which the converter does not read.
  if ((config?.['bos_token'] ?? null) === null) changed.delete('tokenizer.ggml.bos_token_id')
  if (className.startsWith('Qwen3ASR')) changed.set('tokenizer.chat_template', text(chatTemplate))
  for (const kind of ['bos', 'eos']) changed.set(`tokenizer.ggml.${kind}_token_id`, uint32(end))
  return [...changed]
}

/** How many layers take in pictures, of which the text model has none. */
function deepstack({ checkpoint, className }: ModelConfig): Entry {
  if (hears(className)) return ['n_deepstack_layers', uint32(0)]
  const { vision_config: vision, thinker_config: thinker } = checkpoint.config
  const own = vision ?? (thinker as { vision_config?: unknown } | undefined)?.vision_config
  const indexes = (own as { deepstack_visual_indexes?: unknown } | undefined)?.deepstack_visual_indexes
  return ['n_deepstack_layers', uint32(Array.isArray(indexes) ? indexes.length : 0)]
}

/** Matrices of all experts in one tensor with inputs as rows, as published; transformers 5 saves them with outputs as rows. */
function expertTensors(config: ModelConfig, layer: number): TensorMapping[] {
  const { layers, hidden } = dimensionsOf(config)
  const experts = boundedExperts(config, layers)
  const width = config.get(size, 'moe_intermediate_size')
  const name = (part: string): string => `mlp.experts.${part}`
  const stored = config.shapeOf(`model.layers.${layer}.${name('gate_up_proj')}`)
  if (stored === undefined) {
    const router = tensor('mlp.gate.weight', 'ffn_gate_inp.weight', [experts, hidden])
    return [router, ...routedExperts('mlp.experts', experts, hidden, width)]
  }
  const upright = stored[1] === 2 * width && stored[2] === hidden && hidden !== 2 * width
  const turn = (input: Recipe): Recipe => (upright ? input : transpose(input))
  const shape = (rows: number, columns: number): number[] => [experts, ...(upright ? [rows, columns] : [columns, rows])]
  return [
    tensor('mlp.gate.weight', 'ffn_gate_inp.weight', [experts, hidden]),
    split(name('gate_up_proj'), shape(2 * width, hidden), (input) => {
      const both = turn(input)
      return [
        { name: 'ffn_gate_exps.weight', recipe: slice(both, 1, 0, width) },
        { name: 'ffn_up_exps.weight', recipe: slice(both, 1, width, 2 * width) },
      ]
    }),
    tensor(name('down_proj'), 'ffn_down_exps.weight', shape(hidden, width), { transform: turn }),
  ]
}
