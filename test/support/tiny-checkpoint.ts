import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type SafetensorsInput, writeSafetensors } from '../../formats/safetensors/index.js'

export type Json = Record<string, unknown>

const sample = fileURLToPath(new URL('../../samples/llama-kjv', import.meta.url))

/** A Llama of one layer, small enough to be damaged in many ways: its configuration, its weights by name, its tokenizer. */
export interface TinyCheckpoint {
  readonly folder: string
  config: Json
  tensors: Map<string, SafetensorsInput>
  tokenizer: Json
}

const hidden = 32
const vocabulary = 2048
const shapes: Readonly<Record<string, readonly number[]>> = {
  'model.embed_tokens.weight': [vocabulary, hidden],
  'model.norm.weight': [hidden],
  'lm_head.weight': [vocabulary, hidden],
  'model.layers.0.input_layernorm.weight': [hidden],
  'model.layers.0.post_attention_layernorm.weight': [hidden],
  'model.layers.0.self_attn.q_proj.weight': [hidden, hidden],
  'model.layers.0.self_attn.k_proj.weight': [hidden, hidden],
  'model.layers.0.self_attn.v_proj.weight': [hidden, hidden],
  'model.layers.0.self_attn.o_proj.weight': [hidden, hidden],
  'model.layers.0.mlp.gate_proj.weight': [64, hidden],
  'model.layers.0.mlp.up_proj.weight': [64, hidden],
  'model.layers.0.mlp.down_proj.weight': [hidden, 64],
}

/** Values of BF16 that are all 1. */
function ones(shape: readonly number[]): Uint8Array {
  return new Uint8Array(new Uint16Array(shape.reduce((product, size) => product * size, 1)).fill(0x3f80).buffer)
}

/** Writes a valid checkpoint into `folder`, after `change` has had its way with it. */
export async function writeTinyCheckpoint(
  folder: string,
  change: (checkpoint: TinyCheckpoint) => void = () => {},
): Promise<void> {
  await mkdir(folder, { recursive: true })
  const checkpoint: TinyCheckpoint = {
    folder,
    config: {
      ...(JSON.parse(await readFile(join(sample, 'config.json'), 'utf8')) as Json),
      hidden_size: hidden,
      head_dim: 16,
      intermediate_size: 64,
      num_attention_heads: 2,
      num_key_value_heads: 2,
      num_hidden_layers: 1,
    },
    tensors: new Map(Object.entries(shapes).map(([name, shape]) => [name, { name, dtype: 'BF16', shape, data: ones(shape) }])),
    tokenizer: JSON.parse(await readFile(join(sample, 'tokenizer.json'), 'utf8')) as Json,
  }
  change(checkpoint)
  await writeFile(join(folder, 'config.json'), JSON.stringify(checkpoint.config))
  await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(checkpoint.tokenizer))
  await copyFile(join(sample, 'tokenizer_config.json'), join(folder, 'tokenizer_config.json'))
  await writeSafetensors(join(folder, 'model.safetensors'), [...checkpoint.tensors.values()])
}
