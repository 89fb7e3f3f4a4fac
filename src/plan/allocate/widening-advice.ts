import { type Blueprint, type BlueprintTensor, rowChanges, sizeText } from '../../model/index.js'

/** Rows that grow by more take more bytes in IQ1_S (1.5625 bits per weight) than in F16 as they are. */
const maxGrowth = 16 / 1.5625

/**
 * Widths that would make the rows of tensors whole blocks of 256, as `--widen` takes them, with the roles of the tensors:
 * `hidden_size=768 (embedding, attention-qkv)`; empty where no width can be increased, or only by a factor above `maxGrowth`.
 */
export function wideningAdvice(blueprint: Blueprint, tensors: readonly BlueprintTensor[]): string {
  const changeOf = rowChanges(blueprint)
  const found = new Map<string, Set<string>>()
  for (const tensor of tensors) {
    const change = changeOf(tensor)
    if (change === undefined || change.growth > maxGrowth) continue
    const width = `${change.name}=${sizeText(change.to)}`
    found.set(width, (found.get(width) ?? new Set()).add(tensor.role))
  }
  return [...found].map(([width, roles]) => `${width} (${[...roles].join(', ')})`).join(', ')
}
