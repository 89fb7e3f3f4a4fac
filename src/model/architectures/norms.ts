import { norm, type TensorMapping } from './tensor-mappings.js'

/** The norms after attention and after the feed-forward part (OLMo 2, EXAONE 4). */
export function postNorms({ hidden }: { readonly hidden: number }): TensorMapping[] {
  return [
    norm('post_attention_layernorm', 'post_attention_norm', hidden),
    norm('post_feedforward_layernorm', 'post_ffw_norm', hidden),
  ]
}
