/** Columns of one block of ggml's K- and IQ-types. */
export const superBlock = 256

/** Columns of one block of the types with smaller blocks (MXFP4, Q8_0 and others), and of a scale in most with blocks of 256. */
export const subBlock = 32

/**
 * Number of consecutive original entries between added zeros; 0: all, so that zeros are at the end. 1 interleaves zeros evenly, so that each scale
 * covers fewer of the model's columns: see docs/experiments.md.
 */
export type Grain = number

/** Grains of files that mq writes. */
export const grains: readonly Grain[] = [1, subBlock]

/**
 * Positions of the entries of a width in a larger one: `[from, to, count, ...]`, see the recipe operation `place`.
 * @param size entries of the width, one part after the other.
 * @param parts equal parts that the width consists of, each of which grows alike.
 * @param grain where it does not divide a part before and after, all zeros of the part stand at its end.
 */
export function placementOf(size: number, wider: number, parts: number, grain: Grain): readonly number[] {
  const part = runsOfPart(size / parts, wider / parts, grain)
  return Array.from({ length: parts }, (_, index) =>
    part.map((value, at) => value + (at % 3 === 0 ? (index * size) / parts : at % 3 === 1 ? (index * wider) / parts : 0)),
  ).flat()
}

function runsOfPart(size: number, wider: number, grain: Grain): number[] {
  if (size === wider || grain === 0 || size % grain !== 0 || wider % grain !== 0) return [0, 0, size]
  const grains = size / grain
  const runs: number[] = []
  for (let index = 0; index < grains; index++) {
    const to = grain * Math.floor((index * wider) / size)
    const last = runs.length - 3
    if (last >= 0 && (runs[last + 1] as number) + (runs[last + 2] as number) === to)
      runs[last + 2] = (runs[last + 2] as number) + grain
    else runs.push(index * grain, to, grain)
  }
  return runs
}

/** The inverse placement: from `to` to `from`. */
export function reversed(runs: readonly number[]): readonly number[] {
  return runs.map((_, at) => runs[at % 3 === 0 ? at + 1 : at % 3 === 1 ? at - 1 : at] as number)
}
