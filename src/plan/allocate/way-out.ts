import { type Blueprint, type BlueprintTensor, rowChanges, sizeText } from '../../model/index.js'

/**
 * Which widths would have to grow for rows to be whole blocks of 256, as the user can ask for it: `hidden_size=768 (embedding,
 * attention-qkv)`, with the roles of the tensors; nothing where no width can grow.
 */
export function wayOut(blueprint: Blueprint, tensors: readonly BlueprintTensor[]): string {
  const changeOf = rowChanges(blueprint)
  const found = new Map<string, Set<string>>()
  for (const tensor of tensors) {
    const change = changeOf(tensor)
    if (change === undefined) continue
    const width = `${change.name}=${sizeText(change.to)}`
    found.set(width, (found.get(width) ?? new Set()).add(tensor.role))
  }
  return [...found].map(([width, roles]) => `${width} (${[...roles].join(', ')})`).join(', ')
}
