import type { Metadata, MetadataValue } from '../../formats/gguf/index.js'

/**
 * A blueprint's metadata with what the plan adds: the mix of types and the version of the block formats. They stand between the
 * hyper-parameters and the tokenizer, as llama.cpp's converter has them.
 */
export function withPlanMetadata(metadata: Metadata, fileType: number): Metadata {
  const added: [string, MetadataValue][] = [
    ['general.file_type', { type: 'uint32', value: fileType }],
    ['general.quantization_version', { type: 'uint32', value: 2 }],
  ]
  const addedKeys = new Set(added.map(([key]) => key))
  const entries = [...metadata].filter(([key]) => !addedKeys.has(key))
  const tokenizerAt = entries.findIndex(([key]) => key.startsWith('tokenizer.'))
  return new Map(entries.toSpliced(tokenizerAt < 0 ? entries.length : tokenizerAt, 0, ...added))
}
