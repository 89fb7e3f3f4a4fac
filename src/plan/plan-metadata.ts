import type { Metadata, MetadataValue } from '../../formats/gguf/index.js'

const fileTypeKey = 'general.file_type'
const versionKey = 'general.quantization_version'

/**
 * A blueprint's metadata with what the plan adds, where llama.cpp's converter has it: the mix of types in the place that the blueprint
 * keeps for it, the version of the block formats before the tokenizer.
 * @param fileType Plan.fileType.
 */
export function withPlanMetadata(metadata: Metadata, fileType: number): Metadata {
  const fileTypeEntry: [string, MetadataValue] = [fileTypeKey, { type: 'uint32', value: fileType }]
  const versionEntry: [string, MetadataValue] = [versionKey, { type: 'uint32', value: 2 }]
  const entries = [...metadata]
    .filter(([key]) => key !== versionKey)
    .map((entry): [string, MetadataValue] => (entry[0] === fileTypeKey ? fileTypeEntry : entry))
  const tokenizerAt = entries.findIndex(([key]) => key.startsWith('tokenizer.'))
  const added = metadata.has(fileTypeKey) ? [versionEntry] : [fileTypeEntry, versionEntry]
  return new Map(entries.toSpliced(tokenizerAt < 0 ? entries.length : tokenizerAt, 0, ...added))
}
