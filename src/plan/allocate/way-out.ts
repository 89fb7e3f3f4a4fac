import { type Blueprint, type BlueprintTensor, rowGrowths, sizeText } from '../../model/index.js'

/**
 * Which widths would have to grow for rows to be whole blocks of 256, as the user can ask for it: `hidden_size=768 (embedding,
 * attention-qkv)`, with the roles of the tensors; nothing where no width can grow.
 */
export function wayOut(blueprint: Blueprint, tensors: readonly BlueprintTensor[]): string {
  const growthOf = rowGrowths(blueprint)
  const found = new Map<string, Set<string>>()
  for (const tensor of tensors) {
    const growth = growthOf(tensor)
    if (growth === undefined) continue
    const width = `${growth.name}=${sizeText(growth.to)}`
    found.set(width, (found.get(width) ?? new Set()).add(tensor.role))
  }
  return [...found].map(([width, roles]) => `${width} (${[...roles].join(', ')})`).join(', ')
}
