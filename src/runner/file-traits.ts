import { openGguf } from '../../formats/gguf/index.js'

/** Properties of a file that determine llama.cpp's options. */
export interface FileTraits {
  /** general.architecture; undefined where the file cannot be read here, which is left to llama.cpp's judgement. */
  readonly architecture?: string | undefined
  /**
   * Whether llama.cpp may keep the weights in the layouts of its extra buffer types (repacked, AMX). Not those of multi-head latent attention
   * with the projections absorbed, which the key and value lengths of the file's architecture say, as llama.cpp itself asks
   * (llama_hparams::is_mla): llama.cpp 0.5.0, and 0.7.0 as well, ask whether AMX can multiply k_b with a contiguous operand, put it there,
   * then multiply it with a transposed one and end with GGML_ASSERT(*cur_backend_id != -1).
   */
  readonly extraBuffers: boolean
  /** Whether it has a classification head, by which documents are ranked. */
  readonly ranks: boolean
}

/** Reads the header of a GGUF file. Never throws. */
export async function readFileTraits(path: string): Promise<FileTraits> {
  try {
    const file = await openGguf(path)
    await file.close()
    const architecture = file.metadata.get('general.architecture')
    const ranks = file.tensors.some(({ name }) => name === 'cls.output.weight' || name === 'cls.weight')
    if (architecture?.type !== 'string') return { extraBuffers: true, ranks }
    const has = (key: string): boolean => Number(file.metadata.get(`${architecture.value}.attention.${key}`)?.value ?? 0) > 0
    return { architecture: architecture.value, extraBuffers: !(has('key_length_mla') && has('value_length_mla')), ranks }
  } catch {
    return { extraBuffers: true, ranks: false }
  }
}
