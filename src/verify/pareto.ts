/** What a file costs and how far it is from the reference. */
export interface Tradeoff {
  readonly sizeBytes: number
  readonly kld: number
}

/**
 * Of each file the one that makes it needless: no larger, no further from the reference, and not its equal in both. Of several the nearest
 * to the reference, of these the smallest. undefined for those on the Pareto front.
 */
export function dominators(files: readonly Tradeoff[]): (number | undefined)[] {
  return files.map((file) => {
    let best: number | undefined
    for (const [index, other] of files.entries()) {
      if (other.sizeBytes > file.sizeBytes || !(other.kld <= file.kld)) continue
      if (other.sizeBytes === file.sizeBytes && other.kld === file.kld) continue
      const held = best === undefined ? undefined : files[best]
      const isNearer = held === undefined || other.kld < held.kld || (other.kld === held.kld && other.sizeBytes < held.sizeBytes)
      if (isNearer) best = index
    }
    return best
  })
}
