import { baseKeys } from '../base.js'
import { withRoot } from '../embedding-and-output.js'
import { poolingKeys } from '../pooling.js'
import { denseTensors, normedAttention, qwenDefaults, qwenIgnored, windowed } from '../qwen.js'
import { rerankerAnswers, rerankerKeys, rerankerTensors } from '../reranker.js'
import type { Family } from '../types.js'
import { words } from '../words.js'

/** Fields of the parts of Step3-VL that see. */
const pictureFields = words(`
  im_end_token im_patch_token im_start_token image_token_len patch_token_len understand_projector_stride use_im_start_end
  vision_select_layer projector_bias
`)

/** Qwen3, its embedding models and rerankers, and the text model of Step3-VL: norms of each head's queries and keys in place of biases. */
export const qwen3: Family = {
  architecture: 'qwen3',
  classes: ['Qwen3ForCausalLM', 'Qwen3Model', 'StepVLForConditionalGeneration'],
  fields: { defaults: { ...qwenDefaults, head_dim: 128 }, supported: windowed, ignored: [...qwenIgnored, ...pictureFields] },
  keys: async (config) => {
    const answers = await rerankerAnswers(config)
    return [...baseKeys(config), ...(answers === undefined ? await poolingKeys(config) : rerankerKeys)]
  },
  tensors: async (config) => {
    const mappings = denseTensors(config, normedAttention)
    const answers = await rerankerAnswers(config)
    if (answers === undefined) return mappings
    config.notes.push(
      'Converted as a reranker, as its name says: of the output matrix only the rows of "yes" and "no" are kept, as the classification head.',
    )
    return rerankerTensors(config, mappings, answers)
  },
  footprint: { attention: 'grouped' },
  widths: { feedForward: true, embedding: 'plain', heads: 'free' },
  quirks: { rename: withRoot },
}
