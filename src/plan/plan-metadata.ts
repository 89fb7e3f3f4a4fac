import type { Metadata, MetadataValue } from '../../formats/gguf/index.js'

const fileTypeKey = 'general.file_type'
const versionKey = 'general.quantization_version'

/**
 * A blueprint's metadata with what the plan adds: the mix of types, and the version of the block formats, each in the place that the
 * blueprint keeps for it, else before the tokenizer.
 * @param fileType Plan.fileType.
 */
export function withPlanMetadata(metadata: Metadata, fileType: number): Metadata {
  // Files of adapters say none.
  const isAdapter = metadata.get('general.type')?.value === 'adapter'
  const added = new Map<string, MetadataValue>([
    ...(isAdapter ? [] : [[fileTypeKey, { type: 'uint32', value: fileType }] as [string, MetadataValue]]),
    [versionKey, { type: 'uint32', value: 2 }],
  ])
  const entries = [...metadata].map(([key, value]): [string, MetadataValue] => [key, added.get(key) ?? value])
  const tokenizerAt = entries.findIndex(([key]) => key.startsWith('tokenizer.'))
  const missing = [...added].filter(([key]) => !metadata.has(key))
  return new Map(entries.toSpliced(tokenizerAt < 0 ? entries.length : tokenizerAt, 0, ...missing))
}
