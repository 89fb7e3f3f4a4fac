import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { MqError } from '../../errors/index.js'
import type { Blueprint } from '../blueprint.js'
import { exists } from '../checkpoint/index.js'
import { type BlueprintOptions, blueprintOfCheckpoint } from './from-checkpoint.js'
import { blueprintOfGguf } from './from-gguf.js'

export { type BlueprintOptions, blueprintOfCheckpoint } from './from-checkpoint.js'
export { blueprintOfGguf } from './from-gguf.js'
export { blueprintOfAdapter } from './lora-gguf.js'

/**
 * Works out what a GGUF made from `path` holds: metadata, and each tensor's name, shape and recipe. Reads headers and small files, no
 * weights.
 * @param path a checkpoint folder (config.json, *.safetensors, tokenizer.json), a GGUF file, or any shard of one.
 * @throws MqError FILE_MISSING, LINK_DANGLING, CHECKPOINT_EMPTY, CHECKPOINT_FILE, CONFIG_INVALID, ARCHITECTURE_UNKNOWN, STORAGE_UNSUPPORTED, TENSOR_MISSING,
 * ADAPTER_INVALID, ADAPTER_UNSUPPORTED, ADAPTER_MISMATCH, TENSOR_UNEXPECTED, TENSOR_SHAPE, OPTION_INVALID; FormatError for what is wrong within a file.
 */
export async function makeBlueprint(path: string, options: BlueprintOptions = {}): Promise<Blueprint> {
  if (!(await exists(path))) throw MqError.of('FILE_MISSING', { path })
  const found = await stat(path)
  if (found.isDirectory()) return blueprintOfCheckpoint(path, options)
  if (/\.(?:safetensors|json|bin|pt|pth|ckpt|model|jinja|tiktoken|txt|md)$/.test(path)) {
    throw MqError.of('CHECKPOINT_FILE', { path, folder: dirname(path) })
  }
  if (options.mtp !== undefined) {
    const problem = 'the layers of a GGUF file stay together; use the checkpoint'
    throw MqError.of('OPTION_INVALID', { option: 'mtp', value: options.mtp, problem })
  }
  if (options.lora !== undefined && options.lora.length > 0) {
    const problem = 'adapters are merged into a checkpoint, and this is a GGUF file'
    throw MqError.of('OPTION_INVALID', { option: 'lora', value: options.lora.join(' '), problem })
  }
  return blueprintOfGguf(path)
}
