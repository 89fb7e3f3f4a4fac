import { words } from './words.js'

/** What parts that see, hear or speak are called. Source: TextModel.filter_tensors of conversion/base.py, llama.cpp v0.7.0. */
const beginnings = words(`
  mlp vit. vpm. siglip2. conformer. connector. merger. resampler. sound_encoder. sound_projection. speech_embeddings.
`)
const parts = words(`
  visual. vision. audio. talker. vision_ audio_ token2wav. code2wav. projector. pre_mm_projector_norm image_newline
  view_seperator patch_embed patch_embedding patch_merger. patch_merge_mlp.
`)

/** Why a tensor is no part of the text model's weights; undefined where it is one. */
export function leaveOutMultimodal(name: string): string | undefined {
  const inner = name.startsWith('model.') ? name.slice('model.'.length) : name
  const isMedia = beginnings.some((start) => inner.startsWith(start)) || parts.some((part) => inner.includes(part))
  // Numbers by which a server quantizes activations and the KV cache.
  if (/\.(?:[kvq]_scale|kv_scale|[kvq]_zero_point)$/.test(inner))
    return 'with scales of a quantized KV cache, which llama.cpp computes itself'
  return isMedia ? 'of vision or audio encoders: the GGUF file holds the text model only' : undefined
}
