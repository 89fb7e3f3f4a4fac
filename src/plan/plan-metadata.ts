import type { Metadata, MetadataValue } from '../../formats/gguf/index.js'
import { isBaseKey } from '../model/index.js'

/**
 * A blueprint's metadata with what the plan adds, where llama.cpp's converter has it: the mix of types after the hyper-parameters that
 * every architecture has, the version of the block formats before the tokenizer.
 * @param fileType Plan.fileType.
 */
export function withPlanMetadata(metadata: Metadata, fileType: number): Metadata {
  const fileTypeEntry: [string, MetadataValue] = ['general.file_type', { type: 'uint32', value: fileType }]
  const versionEntry: [string, MetadataValue] = ['general.quantization_version', { type: 'uint32', value: 2 }]
  const entries = [...metadata].filter(([key]) => key !== fileTypeEntry[0] && key !== versionEntry[0])
  const architecture = metadata.get('general.architecture')
  const prefix = `${architecture?.type === 'string' ? architecture.value : ''}.`
  const isBase = ([key]: readonly [string, MetadataValue]): boolean =>
    key.startsWith(prefix) && isBaseKey(key.slice(prefix.length))
  const tokenizerAt = entries.findIndex(([key]) => key.startsWith('tokenizer.'))
  const versionAt = tokenizerAt < 0 ? entries.length : tokenizerAt
  const fileTypeAt = Math.min(versionAt, entries.findLastIndex(isBase) + 1 || versionAt)
  return new Map(entries.toSpliced(versionAt, 0, versionEntry).toSpliced(fileTypeAt, 0, fileTypeEntry))
}
