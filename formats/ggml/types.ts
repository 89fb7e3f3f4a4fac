/**
 * The one table of ggml's storage types: nothing else in the project knows a type's id, block or size.
 * Source: ggml.h (enum ggml_type) and ggml-common.h (block structs) of llama.cpp v0.5.0.
 */
const table = {
  F32: { id: 0, blockSize: 1, blockBytes: 4 },
  F16: { id: 1, blockSize: 1, blockBytes: 2 },
  Q4_0: { id: 2, blockSize: 32, blockBytes: 18 },
  Q4_1: { id: 3, blockSize: 32, blockBytes: 20 },
  Q5_0: { id: 6, blockSize: 32, blockBytes: 22 },
  Q5_1: { id: 7, blockSize: 32, blockBytes: 24 },
  Q8_0: { id: 8, blockSize: 32, blockBytes: 34 },
  Q8_1: { id: 9, blockSize: 32, blockBytes: 36 },
  Q2_K: { id: 10, blockSize: 256, blockBytes: 84 },
  Q3_K: { id: 11, blockSize: 256, blockBytes: 110 },
  Q4_K: { id: 12, blockSize: 256, blockBytes: 144 },
  Q5_K: { id: 13, blockSize: 256, blockBytes: 176 },
  Q6_K: { id: 14, blockSize: 256, blockBytes: 210 },
  Q8_K: { id: 15, blockSize: 256, blockBytes: 292 },
  IQ2_XXS: { id: 16, blockSize: 256, blockBytes: 66 },
  IQ2_XS: { id: 17, blockSize: 256, blockBytes: 74 },
  IQ3_XXS: { id: 18, blockSize: 256, blockBytes: 98 },
  IQ1_S: { id: 19, blockSize: 256, blockBytes: 50 },
  IQ4_NL: { id: 20, blockSize: 32, blockBytes: 18 },
  IQ3_S: { id: 21, blockSize: 256, blockBytes: 110 },
  IQ2_S: { id: 22, blockSize: 256, blockBytes: 82 },
  IQ4_XS: { id: 23, blockSize: 256, blockBytes: 136 },
  I8: { id: 24, blockSize: 1, blockBytes: 1 },
  I16: { id: 25, blockSize: 1, blockBytes: 2 },
  I32: { id: 26, blockSize: 1, blockBytes: 4 },
  I64: { id: 27, blockSize: 1, blockBytes: 8 },
  F64: { id: 28, blockSize: 1, blockBytes: 8 },
  IQ1_M: { id: 29, blockSize: 256, blockBytes: 56 },
  BF16: { id: 30, blockSize: 1, blockBytes: 2 },
  TQ1_0: { id: 34, blockSize: 256, blockBytes: 54 },
  TQ2_0: { id: 35, blockSize: 256, blockBytes: 66 },
  MXFP4: { id: 39, blockSize: 32, blockBytes: 17 },
  NVFP4: { id: 40, blockSize: 64, blockBytes: 36 },
  Q1_0: { id: 41, blockSize: 128, blockBytes: 18 },
  Q2_0: { id: 42, blockSize: 64, blockBytes: 18 },
} as const

export type GgmlTypeName = keyof typeof table

export interface GgmlType {
  readonly name: GgmlTypeName
  /** ggml's enum value, as stored in a GGUF file. */
  readonly id: number
  /** Elements in a block; a row's length is a multiple of it. */
  readonly blockSize: number
  /** Bytes of a block. */
  readonly blockBytes: number
  /** 8 * blockBytes / blockSize. */
  readonly bitsPerWeight: number
}

const byName = new Map<string, GgmlType>(
  Object.entries(table).map(([name, { id, blockSize, blockBytes }]) => [
    name,
    { name: name as GgmlTypeName, id, blockSize, blockBytes, bitsPerWeight: (8 * blockBytes) / blockSize },
  ]),
)
const byId = new Map<number, GgmlType>([...byName.values()].map((type) => [type.id, type]))

/** Every type, in the order of their ids. */
export const ggmlTypes: readonly GgmlType[] = [...byName.values()].toSorted((a, b) => a.id - b.id)

/** The type of a name; undefined where there is none. Case and dashes as in llama.cpp (`Q4_K`, `IQ2_XXS`), lower case accepted. */
export function findGgmlType(name: string): GgmlType | undefined {
  return byName.get(name.toUpperCase())
}

/** The type of a name known at compile time. */
export function ggmlType(name: GgmlTypeName): GgmlType {
  return byName.get(name) as GgmlType
}

/** The type of ggml's enum value; undefined for a removed or unknown id. */
export function ggmlTypeOfId(id: number): GgmlType | undefined {
  return byId.get(id)
}

/** Whether rows of this length can be stored in the type. */
export function fitsRow(name: GgmlTypeName, rowLength: number): boolean {
  return rowLength % ggmlType(name).blockSize === 0
}

/**
 * Bytes of `elements` values in a type.
 * @throws RangeError where the elements are not whole blocks.
 */
export function ggmlBytes(name: GgmlTypeName, elements: number): number {
  const { blockSize, blockBytes } = ggmlType(name)
  if (elements % blockSize !== 0) throw new RangeError(`${elements} elements are not whole blocks of ${name}`)
  return (elements / blockSize) * blockBytes
}
