import { fitsRow, type GgmlTypeName, ggmlType } from '../../../formats/ggml/types.js'
import type { Blueprint, BlueprintTensor } from '../../model/index.js'
import { bitsPerValue, blocksOf, holdsMxfp4, isAdapted, rowLength } from '../../recipe/index.js'

/** Whether there is a kernel that writes the type. */
export type Writable = (type: GgmlTypeName) => boolean

/** Whether a type stores values one by one: it needs no kernel and fits any row. */
export function isFloatType(type: GgmlTypeName): boolean {
  return type === 'F32' || type === 'F16' || type === 'BF16'
}

/** Quantized types that a budget may choose, where a kernel writes them: a new kernel is a new word here. */
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
 * The type that stores a tensor just as the source holds it, where it is quantized already: that of its blocks, which are copied, or MXFP4 in
 * another order, whose kernel finds each block again. Undefined for other storages of a checkpoint, which no type of ggml equals.
 */
export function quantizedSource({ recipe }: BlueprintTensor): GgmlTypeName | undefined {
  return blocksOf(recipe)?.type ?? (holdsMxfp4(recipe) ? 'MXFP4' : undefined)
}

/** What the scales of ggml's blocks may take beyond the scales of a source: half a bit for each value, as in Q8_0 and Q4_0. */
const scaleBits = 0.5

/**
 * Bits per weight that a budget spends on a tensor at most, where a checkpoint holds fewer than 16: those of the source, rounded up to whole
 * codes with ggml's scales. 8.5 for FP8 and 8-bit integers, 4.5 for GPTQ, AWQ and bitsandbytes of 4 bits. Undefined where there is no limit:
 * also for weights that an adapter has changed.
 */
export function mostBits({ recipe }: BlueprintTensor): number | undefined {
  if (isAdapted(recipe)) return undefined
  const held = bitsPerValue(recipe)
  return held > 0 && held < 15.9 ? Math.ceil(held / scaleBits) * scaleBits : undefined
}

/** What bounds the types of a tensor besides its rows. */
export interface CandidateOptions {
  readonly writable: Writable
  /** Types beyond the usual ones. */
  readonly candidates?: readonly GgmlTypeName[]
  /** The least bits per weight, but for what the source holds. */
  readonly floor?: number
}

/**
 * Types that a tensor of these rows may get, from few bits to many. Values one by one, of 16 bits or 32, are among them only where rows do
 * not fit 8 bits in blocks or the floor is above these: Q8_0 is lossless for any purpose. Of what is quantized already no type has more
 * bits (mostBits), since nothing would be gained.
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
  const most = mostBits(tensor)
  if (most !== undefined) {
    const within = known.filter((type) => bitsPerWeight(type) <= most)
    const above = within.filter((type) => bitsPerWeight(type) >= floor).toSorted(byBits)
    if (above.length > 0) return above
    // What the source holds is less than the floor, or rows fit no type within it.
    const highest = within.toSorted(byBits).at(-1)
    if (highest !== undefined) return [highest]
  }
  const suffices = quantized.some((type) => bitsPerWeight(type) >= losslessBits)
  const wide: readonly GgmlTypeName[] = suffices ? [] : sourceType === 'F32' ? ['F16', 'F32'] : [sourceType]
  return [...quantized, ...wide].toSorted(byBits)
}

/** From so many bits per weight on, quantization errors are negligible: Q8_0 has a relative error of 3e-5 (typical-errors.ts). */
const losslessBits = 8

/** The least bits per weight of any type that a budget may choose for any row. */
export function leastBitsPerWeight({ writable, candidates = [] }: CandidateOptions): number {
  return Math.min(16, ...[...quantizedCandidates, ...candidates].filter(writable).map(bitsPerWeight))
}

/** Relative error of copies and of types that are rounded value by value, which needs no measuring; undefined for the rest. */
export function knownError(type: GgmlTypeName, tensor: BlueprintTensor, { sourceType }: Blueprint): number | undefined {
  if (type === 'F32' || type === sourceType || type === quantizedSource(tensor)) return 0
  if (type === 'F16') return roundingError(11)
  if (type === 'BF16') return roundingError(8)
  return undefined
}

/** Mean square of rounding to nearest in `digits` binary digits, relative to the value's square, over one octave. */
function roundingError(digits: number): number {
  return 2 ** (-2 * digits) / 6
}

function byBits(a: GgmlTypeName, b: GgmlTypeName): number {
  return bitsPerWeight(a) - bitsPerWeight(b)
}

function bitsPerWeight(type: GgmlTypeName): number {
  return ggmlType(type).bitsPerWeight
}
