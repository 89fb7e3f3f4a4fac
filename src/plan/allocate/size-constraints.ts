import { type GgmlTypeName, ggmlType } from '../../../formats/ggml/types.js'
import type { Blueprint, BlueprintTensor } from '../../model/index.js'
import { elementCount, rowLength } from '../../recipe/index.js'
import { candidatesFor, minBitsPerWeight } from './candidates.js'
import { type GroupOptions, groupTensors, type TensorGroups } from './tensor-groups.js'
import { wideningAdvice } from './widening-advice.js'

/** Reason why a tensor cannot have the smallest type. */
type SizeConstraint = 'kept' | 'named' | 'width' | 'floor' | 'tie'

/** Constraints below this share of the minimum size are not listed. */
const minShare = 0.01

/** What keeps the minimum size of a model up, and how it gets lower. */
export interface SizeConstraints {
  readonly obstacles: string
  /** To end the list of what can be done: widths to widen, where rows are in the way and the minimum gets lower. */
  readonly widening: string
  /** Minimum size of all tensors, in bytes: compares forms of one model. */
  readonly minBytes: number
}

/**
 * Lists what keeps the minimum size of a model up, the largest share first: tensors that stay F32, types that the user set,
 * rows that are not whole blocks, floors of roles, ties. Each with its share of the minimum size.
 */
export function sizeConstraintsOf(
  blueprint: Blueprint,
  { fixed, groups, minBytes }: TensorGroups,
  options: GroupOptions,
): SizeConstraints {
  const ideal = minBitsPerWeight(options)
  const found = new Map<SizeConstraint, { bits: number; tensors: BlueprintTensor[] }>()
  const add = (constraint: SizeConstraint, tensor: BlueprintTensor, extraBitsPerWeight: number): void => {
    if (extraBitsPerWeight <= 0) return
    const entry = found.get(constraint) ?? { bits: 0, tensors: [] }
    entry.bits += extraBitsPerWeight * elementCount(tensor.shape)
    entry.tensors.push(tensor)
    found.set(constraint, entry)
  }
  for (const tensor of blueprint.tensors) {
    const type = fixed.get(tensor.name)?.type
    if (type !== undefined) add(tensor.keepF32 ? 'kept' : 'named', tensor, bitsOf(type) - ideal)
  }
  for (const { tensors, types } of groups) {
    const least = Math.min(...types.map(bitsOf))
    for (const tensor of tensors) {
      const fitting = candidatesFor(tensor, blueprint, options)
      const narrowest = Math.min(...fitting.map(bitsOf))
      add('width', tensor, narrowest - ideal)
      add(tensors.length > 1 ? 'tie' : 'floor', tensor, least - narrowest)
    }
  }
  const shares = [...found]
    .map(([constraint, { bits, tensors }]) => ({ constraint, tensors, share: bits / 8 / minBytes }))
    .filter(({ share }) => share >= minShare)
    .toSorted((a, b) => b.share - a.share)
  const parts = shares.map(({ constraint, tensors, share }) => `${words[constraint](tensors)} (${Math.round(100 * share)} %)`)
  const narrow = shares.find(({ constraint }) => constraint === 'width')?.tensors ?? []
  const { text: widths } = wideningAdvice(blueprint, narrow, (model) => groupTensors(model, options).minBytes)
  return {
    obstacles: parts.length === 0 ? 'no type has fewer bits' : parts.join(', '),
    minBytes,
    widening: widths === '' ? '' : `; or widen ${widths} with zeros: docs/widening.md`,
  }
}

const words: Readonly<Record<SizeConstraint, (tensors: readonly BlueprintTensor[]) => string>> = {
  kept: (tensors) => `${count(tensors)} that are always F32`,
  named: (tensors) => `${count(tensors)} whose type is set by name`,
  width: (tensors) =>
    `${count(tensors)} whose rows (${distinct(tensors.map(rowLength))} values: ${distinct(tensors.map(({ role }) => role))}) are not whole blocks of a smaller type`,
  floor: (tensors) => `the floors of ${distinct(tensors.map(({ role }) => role))}`,
  tie: (tensors) => `the floors and ties of ${distinct(tensors.map(({ role }) => role))}`,
}

function count(tensors: readonly BlueprintTensor[]): string {
  return tensors.length === 1 ? '1 tensor' : `${tensors.length} tensors`
}

function distinct(values: readonly (string | number)[]): string {
  const some = [...new Set(values)]
  return some.length > 6 ? `${some.slice(0, 6).join(', ')} and others` : some.join(', ')
}

function bitsOf(type: GgmlTypeName): number {
  return ggmlType(type).bitsPerWeight
}
