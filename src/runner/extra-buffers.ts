import { openGguf } from '../../formats/gguf/index.js'

/**
 * Whether llama.cpp may keep the weights of this file in the layouts of its extra buffer types (repacked, AMX). Not those of multi-head
 * latent attention with the projections absorbed, which the key and value lengths of the file's architecture say, as llama.cpp itself asks
 * (llama_hparams::is_mla): llama.cpp 0.5.0, and 0.7.0 as well, ask whether AMX can multiply k_b with a contiguous operand, put it there,
 * then multiply it with a transposed one and end with GGML_ASSERT(*cur_backend_id != -1). A file that cannot be read here is left to
 * llama.cpp's judgement.
 */
export async function allowsExtraBuffers(path: string): Promise<boolean> {
  try {
    const file = await openGguf(path)
    await file.close()
    const architecture = file.metadata.get('general.architecture')
    if (architecture?.type !== 'string') return true
    const has = (key: string): boolean => Number(file.metadata.get(`${architecture.value}.attention.${key}`)?.value ?? 0) > 0
    return !(has('key_length_mla') && has('value_length_mla'))
  } catch {
    return true
  }
}
