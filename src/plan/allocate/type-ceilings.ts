import type { GgmlTypeName } from '../../../formats/ggml/types.js'
import { groupBy } from '../../collections/index.js'
import type { Blueprint, BlueprintTensor } from '../../model/index.js'
import { bitsPerValue } from '../../recipe/index.js'
import { maxBitsPerWeight, quantizedSource } from './candidates.js'
import type { TensorGroups } from './tensor-groups.js'

/**
 * The highest type that is of use for each tensor of the groups: the one that stores it without loss; where no type does, the highest of its
 * candidates.
 */
export function ceilingTypes({ sourceType }: Blueprint, groups: TensorGroups['groups']): ReadonlyMap<string, GgmlTypeName> {
  return new Map(
    groups.flatMap(({ tensors, types }) =>
      tensors.map((tensor) => {
        const highest = maxBitsPerWeight(tensor) === undefined ? sourceType : (types.at(-1) as GgmlTypeName)
        return [tensor.name, quantizedSource(tensor) ?? highest] as const
      }),
    ),
  )
}

/** Whether the checkpoint stores a tensor in fewer than 16 bits per weight, in a format that no ggml type equals. */
export function isCapped(tensor: BlueprintTensor): boolean {
  return maxBitsPerWeight(tensor) !== undefined && quantizedSource(tensor) === undefined
}

/** Why a tensor gets no higher type. */
export function ceilingReason(tensor: BlueprintTensor): string {
  return `The source holds ${bitsText(tensor)} bits per weight: a larger type would add no precision.`
}

function bitsText({ recipe }: BlueprintTensor): string {
  return String(Number(bitsPerValue(recipe).toFixed(2)))
}

/** A note that counts the tensors at their ceiling, by the bits per weight of the source; none where there are none. */
export function ceilingNotes(groups: TensorGroups['groups'], typeOf: (name: string) => GgmlTypeName | undefined): string[] {
  const reached = groups.flatMap(({ tensors, types }) =>
    tensors.filter((tensor) => isCapped(tensor) && typeOf(tensor.name) === types.at(-1)),
  )
  if (reached.length === 0) return []
  const counts = [...groupBy(reached, bitsText)].map(([bits, { length }]) => `${length} of ${bits} bits per weight`).join(', ')
  return [
    `The source is quantized already (${counts}): a budget spends no more on such tensors than ggml's type of as many bits, and re-quantizing cannot restore lost precision.`,
  ]
}
