import { alignUp } from '../align-up.js'
import { FormatError } from '../format-error.js'
import { type GgmlTypeName, ggmlBytes, ggmlType } from '../ggml/types.js'
import { quote } from '../quote.js'
import { defaultAlignment, isAlignment, tensorElements } from './arithmetic.js'
import { cannotWrite, headerWriter } from './encode.js'
import type { GgufTensorInfo, Metadata } from './types.js'

/** ggml keeps names in 64 bytes, the last of them zero. */
const maxNameBytes = 63
const maxKeyBytes = 65535
const maxDimensions = 4
/** Padding is waste, and no machine has larger pages. */
const maxAlignment = 65536

/** A tensor of the file to be. */
export interface GgufTensorShape {
  readonly name: string
  /** ggml's order: dimensions[0] is the row length. */
  readonly dimensions: readonly number[]
  readonly type: GgmlTypeName
}

/** Where everything of a GGUF file goes, before the first byte of it is written. */
export interface GgufLayout {
  /** The whole front of the file, padded up to the data section: `header.byteLength` is `dataOffset`. */
  readonly header: Uint8Array
  readonly tensors: readonly GgufTensorInfo[]
  readonly alignment: number
  /** Offset in the file of the data section. */
  readonly dataOffset: number
  /** Size of the data section: all tensors, each padded to the alignment, the last one too. */
  readonly dataBytes: number
  readonly fileBytes: number
}

/**
 * Lays out a GGUF file, version 3, little-endian: tensors one after the other in the order given.
 * @param options.alignment a power of two; stands in the metadata as general.alignment where it is not 32.
 * @throws FormatError GGUF_INVALID for metadata or tensors that the format cannot hold, GGML_ROW_MISALIGNED.
 */
export function layoutGguf(
  metadata: Metadata,
  tensors: readonly GgufTensorShape[],
  options: { readonly alignment?: number } = {},
): GgufLayout {
  const entries = new Map(metadata)
  if (options.alignment !== undefined && options.alignment !== defaultAlignment) {
    entries.set('general.alignment', { type: 'uint32', value: options.alignment })
  }
  const alignment = alignmentOf(entries)
  const infos = placeTensors(tensors, alignment)

  const writer = headerWriter()
  writer.uint32(0x46554747) // "GGUF"
  writer.uint32(3)
  writer.uint64(BigInt(infos.length))
  writer.uint64(BigInt(entries.size))
  for (const [key, value] of entries) {
    if (key === '' || Buffer.byteLength(key) > maxKeyBytes) throw cannotWrite(`${quote(key)} cannot be a metadata key`)
    writer.string(key)
    writer.value(value, key)
  }
  for (const { name, dimensions, type, offset } of infos) {
    writer.string(name)
    writer.uint32(dimensions.length)
    for (const dimension of dimensions) writer.uint64(BigInt(dimension))
    writer.uint32(ggmlType(type).id)
    writer.uint64(BigInt(offset))
  }
  const header = writer.finish(alignment)
  const last = infos.at(-1)
  const dataBytes = last === undefined ? 0 : alignUp(last.offset + last.sizeBytes, alignment)
  return {
    header,
    tensors: infos,
    alignment,
    dataOffset: header.byteLength,
    dataBytes,
    fileBytes: header.byteLength + dataBytes,
  }
}

function alignmentOf(metadata: Metadata): number {
  const entry = metadata.get('general.alignment')
  if (entry === undefined) return defaultAlignment
  if (entry.type !== 'uint32' || !isAlignment(entry.value) || entry.value > maxAlignment) {
    throw cannotWrite(`its general.alignment is not a power of two up to ${maxAlignment} (uint32)`)
  }
  return entry.value
}

function placeTensors(tensors: readonly GgufTensorShape[], alignment: number): GgufTensorInfo[] {
  const names = new Set<string>()
  let offset = 0
  return tensors.map(({ name, dimensions, type }) => {
    if (Buffer.byteLength(name) > maxNameBytes)
      throw cannotWrite(`the tensor name ${quote(name)} is longer than ${maxNameBytes} bytes`)
    if (names.has(name)) throw cannotWrite(`the tensor ${quote(name)} is given twice`)
    names.add(name)
    const info = { name, dimensions, type, offset, sizeBytes: sizeOf(name, dimensions, type) }
    offset = alignUp(offset + info.sizeBytes, alignment)
    return info
  })
}

function sizeOf(name: string, dimensions: readonly number[], type: GgmlTypeName): number {
  const counts = dimensions.every((dimension) => Number.isSafeInteger(dimension) && dimension >= 0)
  const elements = tensorElements(dimensions)
  if (!counts || dimensions.length > maxDimensions || !Number.isSafeInteger(8 * elements)) {
    throw cannotWrite(`the tensor ${quote(name)} cannot have the dimensions ${quote(dimensions)}`)
  }
  const rowLength = dimensions[0] ?? 1
  const { blockSize } = ggmlType(type)
  if (rowLength % blockSize !== 0) throw new FormatError('GGML_ROW_MISALIGNED', { type, rowLength, blockSize })
  return ggmlBytes(type, elements)
}
