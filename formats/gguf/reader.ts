import { alignUp } from '../align-up.js'
import type { ByteSource } from '../byte-source.js'
import { FormatError } from '../format-error.js'
import { ggmlTypeOfId } from '../ggml/types.js'
import { refuseLfsPointer } from '../lfs-pointer.js'
import { quote } from '../quote.js'
import { defaultAlignment, isAlignment, tensorElements } from './arithmetic.js'
import { type HeaderCursor, headerCursor } from './cursor.js'
import { readMetadataValue } from './read-value.js'
import type { GgufTensorInfo, Metadata, MetadataValue } from './types.js'

/** Bounds of the specification: 2^16 - 1 bytes in a key. Tensor names are longer in some files than its 64. */
const maxNameBytes = 65535
const maxKeys = 2 ** 16
const maxTensors = 2 ** 20
const maxDimensions = 4
/** An empty name, a type, a value of one byte. */
const minimumKeyBytes = 13
/** An empty name, no dimensions, a type, an offset. */
const minimumTensorBytes = 24

/** The front of a GGUF file. */
export interface GgufHeader {
  readonly version: number
  /** Of the header and of the tensors' data. */
  readonly byteOrder: 'little' | 'big'
  readonly metadata: Metadata
  /** In the order of the file. */
  readonly tensors: readonly GgufTensorInfo[]
  /** A power of two; every tensor begins at a multiple of it. */
  readonly alignment: number
  /** Offset in the file of the data section, from which tensor offsets count. */
  readonly dataOffset: number
}

/**
 * Reads and checks the header of a GGUF file, version 2 or 3, in either byte order. Fetches the front of the source piece by piece and
 * none of the tensors' data; every count is checked against the size of the file before anything is made for it.
 * Source: ggml's docs/gguf.md, and gguf.cpp of llama.cpp v0.5.0 for what it refuses.
 * @throws FormatError GGUF_INVALID, GGUF_UNSUPPORTED, GGML_TYPE_UNKNOWN, LFS_POINTER; INPUT_TRUNCATED where the file ends before its tensors do.
 */
export async function readGguf(source: ByteSource): Promise<GgufHeader> {
  await refuseLfsPointer(source)
  const cursor = headerCursor(source)
  const { version, byteOrder } = await cursor.step(() => readVersion(cursor, source.name))
  const { tensorCount, keyCount } = await cursor.step(() => ({
    tensorCount: cursor.checkCount(cursor.uint64(), minimumTensorBytes, maxTensors, 'tensors'),
    keyCount: cursor.checkCount(cursor.uint64(), minimumKeyBytes, maxKeys, 'metadata keys'),
  }))

  const metadata = new Map<string, MetadataValue>()
  for (let index = 0; index < keyCount; index++) {
    const [key, value] = await cursor.step(() => {
      const key = cursor.string(maxNameBytes, 'a metadata key')
      return [key, readMetadataValue(cursor, key)] as const
    })
    if (key === '') throw cursor.fail('it has a metadata key without a name')
    if (metadata.has(key)) throw cursor.fail(`the metadata key ${quote(key)} appears in it twice`)
    metadata.set(key, value)
  }
  const alignment = alignmentOf(metadata, cursor)

  const tensors = new Map<string, GgufTensorInfo>()
  for (let index = 0; index < tensorCount; index++) {
    const tensor = await cursor.step(() => readTensorInfo(cursor, source.name))
    if (tensors.has(tensor.name)) throw cursor.fail(`the tensor ${quote(tensor.name)} appears in it twice`)
    tensors.set(tensor.name, tensor)
  }
  const header = {
    version,
    byteOrder,
    metadata,
    tensors: [...tensors.values()],
    alignment,
    dataOffset: alignUp(cursor.position, alignment),
  }
  checkPlacement(header, source, cursor)
  return header
}

function readVersion(cursor: HeaderCursor, file: string): Pick<GgufHeader, 'version' | 'byteOrder'> {
  const magic = String.fromCharCode(...cursor.bytes(4))
  if (magic !== 'GGUF') throw cursor.fail(`it begins with ${quote(magic)} instead of "GGUF"`)
  const bytes = cursor.bytes(4)
  // Read in the wrong order, a small version has its low half empty.
  const byteOrder = bytes[0] === 0 && bytes[1] === 0 ? 'big' : 'little'
  cursor.setByteOrder(byteOrder)
  const version = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, byteOrder === 'little')
  if (version === 0) throw cursor.fail('its version is 0')
  if (version !== 2 && version !== 3) {
    const age = version === 1 ? ', which no program has written since 2023' : ''
    throw new FormatError('GGUF_UNSUPPORTED', { file, problem: `its version is ${version}${age}; versions 2 and 3 are read` })
  }
  return { version, byteOrder }
}

function alignmentOf(metadata: Metadata, cursor: HeaderCursor): number {
  const entry = metadata.get('general.alignment')
  if (entry === undefined) return defaultAlignment
  if (entry.type !== 'uint32' || !isAlignment(entry.value)) {
    throw cursor.fail(
      `its general.alignment is ${entry.type === 'array' ? 'a list' : quote(entry.value)}, not a power of two (uint32)`,
    )
  }
  return entry.value
}

function readTensorInfo(cursor: HeaderCursor, file: string): GgufTensorInfo {
  const name = cursor.string(maxNameBytes, 'a tensor name')
  const what = `the tensor ${quote(name)}`
  const rank = cursor.uint32()
  if (rank > maxDimensions) throw cursor.fail(`${what} has ${rank} dimensions, and at most ${maxDimensions} are allowed`)
  const dimensions = Array.from({ length: rank }, () => Number(cursor.uint64()))
  const id = cursor.uint32()
  const type = ggmlTypeOfId(id)
  if (type === undefined) throw new FormatError('GGML_TYPE_UNKNOWN', { type: id, where: `this version (${what} of ${file})` })
  const offset = Number(cursor.uint64())

  const elements = tensorElements(dimensions)
  const sizeBytes = (elements / type.blockSize) * type.blockBytes
  if (![...dimensions, elements, Math.ceil(sizeBytes)].every(Number.isSafeInteger)) {
    throw cursor.fail(`${what} has the dimensions ${quote(dimensions)}, more than can be counted`)
  }
  if ((dimensions[0] ?? 1) % type.blockSize !== 0) {
    throw cursor.fail(`${what} has rows of ${dimensions[0] ?? 1} values, which are not whole blocks of ${type.name}`)
  }
  return { name, dimensions, type: type.name, offset, sizeBytes }
}

function checkPlacement(header: GgufHeader, source: ByteSource, cursor: HeaderCursor): void {
  const { tensors, alignment, dataOffset } = header
  let end = 0
  for (const { name, offset, sizeBytes } of tensors.toSorted((a, b) => a.offset - b.offset || a.sizeBytes - b.sizeBytes)) {
    const what = `the tensor ${quote(name)}`
    if (!Number.isSafeInteger(offset)) throw cursor.fail(`${what} begins farther than any file reaches`)
    if (offset % alignment !== 0) throw cursor.fail(`${what} begins at ${offset}, which is not a multiple of ${alignment}`)
    if (offset < end) throw cursor.fail(`${what} overlaps the one before it`)
    end = offset + sizeBytes
  }
  const wanted = dataOffset + end
  if (tensors.length > 0 && wanted > source.byteLength) {
    throw new FormatError('INPUT_TRUNCATED', { file: source.name, wanted, present: source.byteLength })
  }
}
