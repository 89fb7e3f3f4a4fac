/**
 * Layouts of the structs that cross by value into llama.cpp v0.5.0. They are opaque bytes here: filled by llama.cpp's own
 * `*_default_params()`, then changed at the offsets below. Another version lays them out differently, hence the pinned version.
 * Source: include/llama.h of v0.5.0, 64-bit, natural alignment.
 */
export const structs = {
  llama_model_params: 80,
  llama_context_params: 160,
  llama_batch: 56,
  llama_sampler_chain_params: 1,
} as const

type Kind = 'int32' | 'uint32' | 'bool' | 'pointer'

interface Field {
  readonly offset: number
  readonly kind: Kind
}

/** struct llama_model_params */
export const modelFields = {
  tensor_buft_overrides: { offset: 8, kind: 'pointer' },
  n_gpu_layers: { offset: 16, kind: 'int32' },
  load_mode: { offset: 24, kind: 'int32' },
  vocab_only: { offset: 72, kind: 'bool' },
  use_extra_bufts: { offset: 74, kind: 'bool' },
} as const satisfies Record<string, Field>

/** enum llama_load_mode */
export const loadMode = { none: 0, mmap: 1 } as const

/** struct llama_context_params; cb_eval is called for each node of the graph, which is how activations are collected. */
export const contextFields = {
  n_ctx: { offset: 0, kind: 'uint32' },
  n_batch: { offset: 4, kind: 'uint32' },
  n_ubatch: { offset: 8, kind: 'uint32' },
  n_seq_max: { offset: 12, kind: 'uint32' },
  n_outputs_max: { offset: 20, kind: 'uint32' },
  n_threads: { offset: 28, kind: 'int32' },
  n_threads_batch: { offset: 32, kind: 'int32' },
  pooling_type: { offset: 44, kind: 'int32' },
  flash_attn_type: { offset: 52, kind: 'int32' },
  cb_eval: { offset: 88, kind: 'pointer' },
  cb_eval_user_data: { offset: 96, kind: 'pointer' },
  type_k: { offset: 104, kind: 'int32' },
  type_v: { offset: 108, kind: 'int32' },
  embeddings: { offset: 128, kind: 'bool' },
  no_perf: { offset: 130, kind: 'bool' },
  swa_full: { offset: 132, kind: 'bool' },
  kv_unified: { offset: 133, kind: 'bool' },
} as const satisfies Record<string, Field>

/** enum llama_pooling_type, in order; -1 is the model's own. */
export const poolingTypes = ['none', 'mean', 'cls', 'last', 'rank'] as const

/** enum llama_flash_attn_type */
export const flashAttention = { auto: -1, off: 0, on: 1 } as const

/** enum ggml_type, of those that a KV cache may have. */
export const kvTypes = { f32: 0, f16: 1, q4_0: 2, q4_1: 3, q5_0: 6, q5_1: 7, q8_0: 8, iq4_nl: 20, bf16: 30 } as const

/** struct llama_batch: a count and six arrays of that length; `seq_id` is an array of pointers to arrays. */
export const batchFields = {
  n_tokens: { offset: 0, kind: 'int32' },
  token: { offset: 8, kind: 'pointer' },
  embd: { offset: 16, kind: 'pointer' },
  pos: { offset: 24, kind: 'pointer' },
  n_seq_id: { offset: 32, kind: 'pointer' },
  seq_id: { offset: 40, kind: 'pointer' },
  logits: { offset: 48, kind: 'pointer' },
} as const satisfies Record<string, Field>

/** struct ggml_tensor: where its parts lie. `ne` and `nb` are four 64-bit integers each, `src` ten pointers, `name` a C string. */
export const tensorLayout = {
  sizeBytes: 336,
  type: 0,
  buffer: 8,
  ne: 16,
  nb: 48,
  op: 80,
  src: 152,
  data: 248,
  name: 256,
  nameBytes: 64,
} as const

/** enum ggml_op */
export const ggmlOperation = { MUL_MAT: 29, MUL_MAT_ID: 30, RESHAPE: 36 } as const

/** enum ggml_type */
export const ggmlF32 = 0

/** A struct as koffi passes it by value. */
export interface StructValue {
  readonly bytes: Uint8Array
}

type Values<Fields extends Record<string, Field>> = {
  readonly [Name in keyof Fields]?: Fields[Name]['kind'] extends 'pointer'
    ? bigint
    : Fields[Name]['kind'] extends 'bool'
      ? boolean
      : number
}

/** Sets fields of a struct in place and returns it. */
export function setFields<Fields extends Record<string, Field>>(
  struct: StructValue,
  fields: Fields,
  values: Values<Fields>,
): StructValue {
  const view = new DataView(struct.bytes.buffer, struct.bytes.byteOffset, struct.bytes.byteLength)
  for (const [name, value] of Object.entries(values)) {
    const field = fields[name]
    if (field !== undefined) setField(view, field, value as number | bigint | boolean)
  }
  return struct
}

function setField(view: DataView, { offset, kind }: Field, value: number | bigint | boolean): void {
  switch (kind) {
    case 'int32':
      return view.setInt32(offset, Number(value), true)
    case 'uint32':
      return view.setUint32(offset, Number(value), true)
    case 'bool':
      return view.setUint8(offset, Number(value))
    case 'pointer':
      return view.setBigUint64(offset, BigInt(value), true)
  }
}
