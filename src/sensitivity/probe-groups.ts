import type { Blueprint, BlueprintTensor } from '../blueprint.js'

/** Tensors of one role at one depth, which are probed together. */
export interface ProbeGroup {
  /** Such as `ffn-down, first block`. */
  readonly name: string
  readonly tensors: readonly BlueprintTensor[]
}

/** By role and depth: the first block, on which all others build, the first half of the rest, and the second. In the order of the file. */
export function probeGroups({ tensors, layers }: Pick<Blueprint, 'tensors' | 'layers'>): ProbeGroup[] {
  const groups = new Map<string, BlueprintTensor[]>()
  for (const tensor of tensors) {
    if (tensor.keepF32) continue
    const name = tensor.layer === undefined ? tensor.role : `${tensor.role}, ${depthOf(tensor.layer, layers)}`
    const group = groups.get(name)
    if (group === undefined) groups.set(name, [tensor])
    else group.push(tensor)
  }
  return [...groups].map(([name, members]) => ({ name, tensors: members }))
}

function depthOf(layer: number, layers: number): string {
  if (layer === 0) return 'first block'
  return layer <= (layers - 1) / 2 ? 'first half' : 'second half'
}
