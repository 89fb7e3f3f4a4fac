import { appendTensorData, type TensorData } from '../tensor-data.js'
import { writeWholeFile } from '../whole-file.js'
import { dtypeBits, type SafetensorsDtype, tensorBytes } from './dtypes.js'

/** A tensor to be written. */
export interface SafetensorsInput {
  readonly name: string
  readonly dtype: SafetensorsDtype
  /** Row-major. */
  readonly shape: readonly number[]
  /** Little-endian values. */
  readonly data: TensorData
}

const dtypeOrder = Object.keys(dtypeBits)

/**
 * Writes a safetensors file as the reference implementation does: tensors sorted by falling alignment, then by name, so that every one
 * is aligned to its own elements; the header padded with spaces to a multiple of 8. The name appears when the file is whole.
 * @throws RangeError where a shape, a name or the amount of data is wrong.
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly SafetensorsInput[],
  metadata: ReadonlyMap<string, string> = new Map(),
): Promise<void> {
  const sorted = tensors.toSorted(
    (a, b) =>
      dtypeOrder.indexOf(b.dtype) - dtypeOrder.indexOf(a.dtype) || Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)),
  )
  const sizes = sorted.map(sizeOf)
  const header = safetensorsHeader(sorted, sizes, metadata)
  await writeWholeFile(path, async (append) => {
    await append(header)
    for (const [index, { name, data }] of sorted.entries()) await appendTensorData(append, name, data, sizes[index] as number)
  })
}

function sizeOf({ name, dtype, shape }: SafetensorsInput): number {
  const bytes = shape.every((dimension) => Number.isSafeInteger(dimension) && dimension >= 0)
    ? tensorBytes(dtype, shape)
    : undefined
  if (bytes === undefined) throw new RangeError(`${name} cannot have the shape [${shape.join()}] as ${dtype}`)
  return bytes
}

/**
 * What stands before the values: the header's length and the header, for tensors that follow one another in this order.
 * @param sizes bytes of each. @throws RangeError where two have one name.
 */
export function safetensorsHeader(
  tensors: readonly Pick<SafetensorsInput, 'name' | 'dtype' | 'shape'>[],
  sizes: readonly number[],
  metadata: ReadonlyMap<string, string> = new Map(),
): Uint8Array {
  // The text is put together by hand: an object would move names that look like numbers to the front.
  const entries = metadata.size === 0 ? [] : [`"__metadata__":${JSON.stringify(Object.fromEntries(metadata))}`]
  const names = new Set(['__metadata__'])
  let offset = 0
  for (const [index, { name, dtype, shape }] of tensors.entries()) {
    if (names.has(name)) throw new RangeError(`${name} cannot be the name of one more tensor`)
    names.add(name)
    const end = offset + (sizes[index] as number)
    entries.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [offset, end] })}`)
    offset = end
  }
  const json = Buffer.from(`{${entries.join(',')}}`)
  const length = Math.ceil(json.byteLength / 8) * 8
  const header = new Uint8Array(8 + length).fill(0x20)
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true)
  header.set(json, 8)
  return header
}
