/**
 * Every element type of the format with its bits, in the reference implementation's order: by growing alignment. The writer sorts by it.
 * Source: enum Dtype of safetensors/src/tensor.rs, github.com/safetensors/safetensors, version 0.8.
 */
export const dtypeBits = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const

export type SafetensorsDtype = keyof typeof dtypeBits

/** Whether a name is one of the format's element types. */
export function isSafetensorsDtype(name: unknown): name is SafetensorsDtype {
  return typeof name === 'string' && Object.hasOwn(dtypeBits, name)
}

/** Bytes of a tensor; undefined where they are not whole, or more than a number can count exactly. */
export function tensorBytes(dtype: SafetensorsDtype, shape: readonly number[]): number | undefined {
  let bits: number = dtypeBits[dtype]
  for (const dimension of shape) {
    bits *= dimension
    if (!Number.isSafeInteger(bits)) return undefined
  }
  return bits % 8 === 0 ? bits / 8 : undefined
}
