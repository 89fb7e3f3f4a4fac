import type { ImportanceEntry } from '../../formats/imatrix/index.js'

/**
 * Weight, in tokens, of the mean of all experts, added to an expert's own tokens. Measured on deepseek-kjv-moe at
 * IQ2_XXS: with experts of 20 tokens the divergence falls by 1 %, with experts of 100 and more nothing changes.
 */
const siblingTokens = 64

/**
 * Mean squares of a weight's inputs; those of experts are shrunk towards the mean over all tokens of all experts, the more the fewer tokens an expert
 * has. Weights of one matrix are unchanged.
 */
export function shrunkMeanSquares({ meanSquares, counts }: ImportanceEntry): Float32Array {
  if (counts.length === 1) return meanSquares
  const columns = meanSquares.length / counts.length
  const total = counts.reduce((sum, count) => sum + count, 0)
  if (total === 0) return meanSquares
  const pooled = new Float64Array(columns)
  for (let index = 0; index < meanSquares.length; index += 1) {
    const count = counts[Math.floor(index / columns)] as number
    const column = index % columns
    pooled[column] = (pooled[column] as number) + (count / total) * (meanSquares[index] as number)
  }
  return meanSquares.map((value, index) => {
    const count = counts[Math.floor(index / columns)] as number
    return (count * value + siblingTokens * (pooled[index % columns] as number)) / (count + siblingTokens)
  })
}
