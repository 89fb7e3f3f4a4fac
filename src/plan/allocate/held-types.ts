import type { GgmlTypeName } from '../../../formats/ggml/types.js'
import { groupBy } from '../../collections/index.js'
import type { Blueprint, BlueprintTensor } from '../../model/index.js'
import { bitsPerValue } from '../../recipe/index.js'
import { mostBits, quantizedSource } from './candidates.js'
import type { OpenTensors } from './open-tensors.js'

/** For each open tensor the type that stores it as the source holds it; the largest that it may get, where none does. */
export function heldTypes({ sourceType }: Blueprint, groups: OpenTensors['groups']): ReadonlyMap<string, GgmlTypeName> {
  return new Map(
    groups.flatMap(({ tensors, types }) =>
      tensors.map((tensor) => {
        const limited = mostBits(tensor) === undefined ? sourceType : (types.at(-1) as GgmlTypeName)
        return [tensor.name, quantizedSource(tensor) ?? limited] as const
      }),
    ),
  )
}

/** Whether a checkpoint holds fewer bits of a tensor than 16, in a way that no type of ggml equals. */
export function isLimited(tensor: BlueprintTensor): boolean {
  return mostBits(tensor) !== undefined && quantizedSource(tensor) === undefined
}

/** Why a tensor gets no larger type. */
export function limitReason(tensor: BlueprintTensor): string {
  return `The source holds ${bitsText(tensor)} bits per weight: a larger type would add no precision.`
}

function bitsText({ recipe }: BlueprintTensor): string {
  return String(Number(bitsPerValue(recipe).toFixed(2)))
}

/** Says where a budget spends no more because the source holds no more. */
export function limitNotes(groups: OpenTensors['groups'], typeOf: (name: string) => GgmlTypeName | undefined): string[] {
  const reached = groups.flatMap(({ tensors, types }) =>
    tensors.filter((tensor) => isLimited(tensor) && typeOf(tensor.name) === types.at(-1)),
  )
  if (reached.length === 0) return []
  const counts = [...groupBy(reached, bitsText)].map(([bits, { length }]) => `${length} of ${bits} bits per weight`).join(', ')
  return [
    `The source is quantized already (${counts}): a budget spends no more on such tensors than ggml's type of as many bits, and re-quantizing cannot restore lost precision.`,
  ]
}
