import { openGguf } from '../../formats/gguf/index.js'

/** Multi-head latent attention's k_b and v_b, one matrix for each head. */
const latentAttention = /\.attn_[kv]_b\.weight$/

/**
 * Whether llama.cpp may keep the weights of this file in the layouts of its extra buffer types (repacked, AMX). Not those of multi-head
 * latent attention: llama.cpp 0.5.0, and 0.7.0 as well, ask whether AMX can multiply k_b with a contiguous operand, put it there, then
 * multiply it with a transposed one and end with GGML_ASSERT(*cur_backend_id != -1). A file that cannot be read here is left to
 * llama.cpp's judgement.
 */
export async function allowsExtraBuffers(path: string): Promise<boolean> {
  try {
    const file = await openGguf(path)
    await file.close()
    return !file.tensors.some(({ name }) => latentAttention.test(name))
  } catch {
    return true
  }
}
