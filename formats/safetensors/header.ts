import type { ByteSource } from '../byte-source.js'
import { FormatError } from '../format-error.js'
import { refuseLfsPointer } from '../lfs-pointer.js'
import { quote } from '../quote.js'
import { isSafetensorsDtype, type SafetensorsDtype, tensorBytes } from './dtypes.js'
import { isJsonObject, parseStrictJson } from './json.js'

/** The reference implementation's own limit. */
const maxHeaderBytes = 100_000_000
const lengthBytes = 8
/** { tensor: { shape: [ ] } } */
const maxDepth = 3

/** A tensor as a safetensors header describes it. */
export interface SafetensorsTensor {
  readonly dtype: SafetensorsDtype
  /** Row-major: the last dimension is the row length. Empty for a scalar. */
  readonly shape: readonly number[]
  /** First byte, counted from the start of the file. */
  readonly start: number
  /** One past the last byte. */
  readonly end: number
}

export interface SafetensorsHeader {
  /** By name, in the order of their bytes. */
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>
  /** What stands under `__metadata__`. */
  readonly metadata: ReadonlyMap<string, string>
}

/**
 * Reads and checks the header of a safetensors file: valid JSON with no name twice, known element types, and tensors that cover the
 * rest of the file without gap or overlap, each as long as its shape says.
 * Source: the "Format" section of github.com/safetensors/safetensors, and its tensor.rs.
 * @throws FormatError SAFETENSORS_INVALID, LFS_POINTER; INPUT_TRUNCATED where the file ends before its tensors do.
 */
export async function readSafetensorsHeader(source: ByteSource): Promise<SafetensorsHeader> {
  const fail = (problem: string): FormatError => new FormatError('SAFETENSORS_INVALID', { file: source.name, problem })
  await refuseLfsPointer(source)
  const prefix = await source.slice(0, lengthBytes)
  const length = new DataView(prefix.buffer, prefix.byteOffset, lengthBytes).getBigUint64(0, true)
  if (length > maxHeaderBytes) throw fail(`its header claims ${length} bytes, and at most ${maxHeaderBytes} are allowed`)
  const dataStart = lengthBytes + Number(length)
  const bytes = await source.slice(lengthBytes, dataStart)
  if (bytes[0] !== 0x7b) throw fail('its header does not begin with {')
  const json = parseStrictJson(bytes, maxDepth, fail)
  if (!isJsonObject(json)) throw fail('its header is not a JSON object')

  const { ['__metadata__']: metadata, ...entries } = json
  const tensors = Object.entries(entries)
    .map(([name, entry]) => [name, readTensor(name, entry, dataStart, fail)] as const)
    .toSorted(([, a], [, b]) => a.start - b.start || a.end - b.end)
  checkCoverage(tensors, dataStart, source, fail)
  return { tensors: new Map(tensors), metadata: readMetadata(metadata, fail) }
}

function readTensor(name: string, entry: unknown, dataStart: number, fail: (problem: string) => Error): SafetensorsTensor {
  const bad = (problem: string): Error => fail(`the tensor ${quote(name)} ${problem}`)
  if (!isJsonObject(entry)) throw bad('is not described by an object')
  const { dtype, shape, data_offsets: offsets } = entry
  if (!isSafetensorsDtype(dtype)) throw bad(`has the unknown element type ${quote(dtype)}`)
  if (!isCounts(shape)) throw bad('has a shape that is not a list of whole numbers')
  if (!isCounts(offsets) || offsets.length !== 2) throw bad('has data_offsets that are not two whole numbers')
  const [from, to] = offsets as [number, number]
  const sizeBytes = tensorBytes(dtype, shape)
  if (sizeBytes === undefined) throw bad(`has the shape ${quote(shape)}, which is not a whole number of bytes of ${dtype}`)
  if (to - from !== sizeBytes) {
    throw bad(`spans bytes ${from} to ${to} where its shape ${quote(shape)} of ${dtype} needs ${sizeBytes} bytes`)
  }
  return { dtype, shape, start: dataStart + from, end: dataStart + to }
}

function isCounts(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((count) => Number.isSafeInteger(count) && count >= 0)
}

function checkCoverage(
  tensors: readonly (readonly [string, SafetensorsTensor])[],
  dataStart: number,
  source: ByteSource,
  fail: (problem: string) => Error,
): void {
  let covered = dataStart
  for (const [name, { start, end }] of tensors) {
    if (start < covered) throw fail(`the tensor ${quote(name)} overlaps the one before it`)
    if (start > covered) throw fail(`${start - covered} bytes before the tensor ${quote(name)} belong to no tensor`)
    covered = end
  }
  if (covered > source.byteLength) {
    throw new FormatError('INPUT_TRUNCATED', { file: source.name, wanted: covered, present: source.byteLength })
  }
  if (covered < source.byteLength) throw fail(`${source.byteLength - covered} bytes at its end belong to no tensor`)
}

function readMetadata(value: unknown, fail: (problem: string) => Error): ReadonlyMap<string, string> {
  if (value === undefined) return new Map()
  if (!isJsonObject(value)) throw fail('its __metadata__ is not an object')
  return new Map(
    Object.entries(value).map(([key, text]) => {
      if (typeof text !== 'string') throw fail(`its __metadata__ holds something other than text under ${quote(key)}`)
      return [key, text]
    }),
  )
}
