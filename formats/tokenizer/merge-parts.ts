/**
 * What byte-pair merges leave of a text: the neighbours of the lowest rank become one, the first where several have it, until no two have a
 * rank.
 * @param parts of the text, a character each.
 * @param rankOf the rank of a merge; undefined where there is none.
 */
export function mergeParts(parts: readonly string[], rankOf: (left: string, right: string) => number | undefined): string[] {
  const left = [...parts]
  for (;;) {
    let best = -1
    let least = Number.POSITIVE_INFINITY
    for (let i = 0; i + 1 < left.length; i++) {
      const rank = rankOf(left[i] as string, left[i + 1] as string)
      if (rank !== undefined && rank < least) [best, least] = [i, rank]
    }
    if (best === -1) return left
    left.splice(best, 2, `${left[best]}${left[best + 1]}`)
  }
}
