import type { GgmlTypeName } from '../../../formats/ggml/types.js'

/** Position of a tensor among those of its kind, as llama-quantize counts, and the other inputs of its rules. */
export interface TensorPosition {
  /** Index among tensors of its kind; in a model with experts, index of its layer. */
  readonly index: number
  /** How many of its kind, or blocks, there are. */
  readonly count: number
  /** Query heads that share a key-value head. */
  readonly headsPerGroup: number
  /** Routed experts; 0 for a dense model. */
  readonly experts: number
  /** Whether there is an importance matrix. */
  readonly importance: boolean
}

/** The type of a tensor at its position; undefined where the rule does not apply. */
export type PresetRule = (position: TensorPosition) => GgmlTypeName | undefined

/** The first rule that applies. */
export const either =
  (...rules: readonly PresetRule[]): PresetRule =>
  (position) => {
    for (const rule of rules) {
      const type = rule(position)
      if (type !== undefined) return type
    }
    return undefined
  }

const where =
  (applies: (position: TensorPosition) => boolean) =>
  (type: GgmlTypeName): PresetRule =>
  (position) =>
    applies(position) ? type : undefined

export const always = where(() => true)
export const firstTwo = where(({ index }) => index < 2)
export const firstFour = where(({ index }) => index < 4)
export const firstSixteenth = where(({ index, count }) => index < Math.floor(count / 16))
export const firstEighth = where(({ index, count }) => index < Math.floor(count / 8))
/** Neither in the first nor in the last eighth. */
export const middle = where(({ index, count }) => index >= Math.floor(count / 8) && index < Math.floor((7 * count) / 8))
/** The first and last eighth, and every third of those between. */
export const moreBits = where(isMoreBits)
export const eightExperts = where(({ experts }) => experts === 8)
export const eightExpertsMoreBits = where((position) => position.experts === 8 && isMoreBits(position))
/** Where four or more query heads share a key-value head. */
export const shared = where(({ headsPerGroup }) => headsPerGroup >= 4)
export const sharedOrFourExperts = where(({ headsPerGroup, experts }) => headsPerGroup >= 4 || experts >= 4)

export const withImportance =
  (rule: PresetRule): PresetRule =>
  (position) =>
    position.importance ? rule(position) : undefined
export const withoutImportance =
  (rule: PresetRule): PresetRule =>
  (position) =>
    position.importance ? undefined : rule(position)

function isMoreBits({ index, count }: TensorPosition): boolean {
  const eighth = Math.floor(count / 8)
  return index < eighth || index >= Math.floor((7 * count) / 8) || (index - eighth) % 3 === 2
}
