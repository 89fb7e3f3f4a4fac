/** Columns of one scale in the types with blocks of 256 (ggml's K- and IQ-types). */
const subBlock = 32
/** Columns of one block of these types. */
export const superBlock = 256

/**
 * Where the entries of a width stand in a larger one: `[from, to, count, ...]`, see the recipe operation `place`. Blocks of 256 get whole
 * sub-blocks of 32 entries, as evenly as can be, so that new columns share no scale with others; where that cannot be, all new
 * ones stand at the end.
 * @param size entries of the width, one part after the other.
 * @param parts equal parts that the width consists of, each of which grows alike.
 */
export function placementOf(size: number, wider: number, parts = 1): readonly number[] {
  const part = runsOfPart(size / parts, wider / parts)
  return Array.from({ length: parts }, (_, index) =>
    part.map((value, at) => value + (at % 3 === 0 ? (index * size) / parts : at % 3 === 1 ? (index * wider) / parts : 0)),
  ).flat()
}

function runsOfPart(size: number, wider: number): number[] {
  if (size === wider || size % subBlock !== 0 || wider % superBlock !== 0) return [0, 0, size]
  const blocks = size / subBlock
  const superBlocks = wider / superBlock
  const runs: number[] = []
  for (let index = 0; index < superBlocks; index++) {
    const first = Math.floor((index * blocks) / superBlocks)
    const count = Math.floor(((index + 1) * blocks) / superBlocks) - first
    if (count > 0) runs.push(first * subBlock, index * superBlock, count * subBlock)
  }
  return runs
}

/** The placement back: what stood at `to` goes to `from`. */
export function reversed(runs: readonly number[]): readonly number[] {
  return runs.map((_, at) => runs[at % 3 === 0 ? at + 1 : at % 3 === 1 ? at - 1 : at] as number)
}
