import type { MetadataValue } from '../../../formats/gguf/types.js'

// Metadata values as llama.cpp's converter types them.

export const uint32 = (value: number): MetadataValue => ({ type: 'uint32', value })
/** Rounded here, so that the value is the one that a reader of the file gets. */
export const float32 = (value: number): MetadataValue => ({ type: 'float32', value: Math.fround(value) })
export const bool = (value: boolean): MetadataValue => ({ type: 'bool', value })
export const text = (value: string): MetadataValue => ({ type: 'string', value })
