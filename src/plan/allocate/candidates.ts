import { fitsRow, type GgmlTypeName, ggmlType } from '../../../formats/ggml/types.js'
import type { Blueprint, BlueprintTensor } from '../../model/index.js'
import { bitsPerValue, blocksOf, holdsMxfp4, isAdapted, rowLength } from '../../recipe/index.js'

/** Whether a kernel quantizes to the type. */
export type Writable = (type: GgmlTypeName) => boolean

/** Whether a type is a float type without blocks: it needs no kernel and fits any row. */
export function isFloatType(type: GgmlTypeName): boolean {
  return type === 'F32' || type === 'F16' || type === 'BF16'
}

/** Quantized types that a budget may choose, where a kernel writes them; add a type here when it gets a kernel. */
export const quantizedCandidates: readonly GgmlTypeName[] = [
  'IQ1_S',
  'IQ1_M',
  'IQ2_XXS',
  'IQ2_XS',
  'IQ2_S',
  'Q2_K',
  'IQ3_XXS',
  'IQ3_S',
  'Q3_K',
  'IQ4_XS',
  'IQ4_NL',
  'Q4_0',
  'Q4_K',
  'Q5_0',
  'Q5_K',
  'Q6_K',
  'Q8_0',
]

/**
 * The type that stores a quantized source without loss: that of its blocks, which are copied, or MXFP4 in another order, whose kernel
 * reproduces each block. Undefined for unquantized tensors and for formats that no ggml type equals.
 */
export function quantizedSource({ recipe }: BlueprintTensor): GgmlTypeName | undefined {
  return blocksOf(recipe)?.type ?? (holdsMxfp4(recipe) ? 'MXFP4' : undefined)
}

/** Bits per weight for the scales of ggml blocks, as in Q8_0 and Q4_0. */
const scaleBits = 0.5

/**
 * The type ceiling in bits per weight of a tensor that the checkpoint stores in fewer than 16: those of the source, rounded up to whole codes
 * with ggml's scales. 8.5 for FP8 and 8-bit integers, 4.5 for GPTQ, AWQ and bitsandbytes of 4 bits. Undefined where there is no ceiling,
 * which includes weights that an adapter has changed.
 */
export function maxBitsPerWeight({ recipe }: BlueprintTensor): number | undefined {
  if (isAdapted(recipe)) return undefined
  const sourceBits = bitsPerValue(recipe)
  return sourceBits > 0 && sourceBits < 15.9 ? Math.ceil(sourceBits / scaleBits) * scaleBits : undefined
}

/** Constraints on the candidate types of a tensor, besides its row length. */
export interface CandidateOptions {
  readonly writable: Writable
  /** Candidate types besides `quantizedCandidates`. */
  readonly candidates?: readonly GgmlTypeName[]
  /** Type floor in bits per weight; a source with fewer is stored in fewer. */
  readonly floor?: number
}

/**
 * Candidate types of a tensor, from few bits per weight to many. F16, BF16 and F32 are included only where the rows fit no type of 8 bits or
 * the floor is above it: the error of Q8_0 is negligible. For a quantized source no candidate exceeds its ceiling (maxBitsPerWeight).
 */
export function candidatesFor(
  tensor: BlueprintTensor,
  { sourceType }: Blueprint,
  { writable, candidates = [], floor = 0 }: CandidateOptions,
): GgmlTypeName[] {
  const length = rowLength(tensor)
  const known = [...new Set([...quantizedCandidates, ...candidates])].filter((type) => fitsRow(type, length) && writable(type))
  const quantized = known.filter((type) => bitsPerWeight(type) >= floor)
  const source = quantizedSource(tensor)
  if (source !== undefined)
    return [...quantized.filter((type) => bitsPerWeight(type) < bitsPerWeight(source)).toSorted(byBits), source]
  const ceiling = maxBitsPerWeight(tensor)
  if (ceiling !== undefined) {
    const within = known.filter((type) => bitsPerWeight(type) <= ceiling)
    const above = within.filter((type) => bitsPerWeight(type) >= floor).toSorted(byBits)
    if (above.length > 0) return above
    // The ceiling is below the floor, or the rows fit no type between them.
    const highest = within.toSorted(byBits).at(-1)
    if (highest !== undefined) return [highest]
  }
  const suffices = quantized.some((type) => bitsPerWeight(type) >= losslessBits)
  const floats: readonly GgmlTypeName[] = suffices ? [] : sourceType === 'F32' ? ['F16', 'F32'] : [sourceType]
  return [...quantized, ...floats].toSorted(byBits)
}

/** At this many bits per weight quantization errors are negligible: Q8_0 has a relative error of 3e-5 (typical-errors.ts). */
const losslessBits = 8

/** The fewest bits per weight of all candidate types, whatever the row length. */
export function minBitsPerWeight({ writable, candidates = [] }: CandidateOptions): number {
  return Math.min(16, ...[...quantizedCandidates, ...candidates].filter(writable).map(bitsPerWeight))
}

/** Relative error of copies and of float types, which needs no measurement; undefined for other types. */
export function knownError(type: GgmlTypeName, tensor: BlueprintTensor, { sourceType }: Blueprint): number | undefined {
  if (type === 'F32' || type === sourceType || type === quantizedSource(tensor)) return 0
  if (type === 'F16') return roundingError(11)
  if (type === 'BF16') return roundingError(8)
  return undefined
}

/** Mean squared rounding error with a significand of `digits` bits, relative to the value's square, over one octave. */
function roundingError(digits: number): number {
  return 2 ** (-2 * digits) / 6
}

function byBits(a: GgmlTypeName, b: GgmlTypeName): number {
  return bitsPerWeight(a) - bitsPerWeight(b)
}

function bitsPerWeight(type: GgmlTypeName): number {
  return ggmlType(type).bitsPerWeight
}
