/** Entries that come to stand elsewhere: from an input to a result. */
export interface Run {
  readonly from: number
  readonly to: number
  readonly count: number
}

/** Runs as recipes hold them: `[from, to, count, from, to, count, ...]`, in order of `to`. */
export type Runs = readonly number[]

/** @returns the runs one by one. */
export function* runsOf(runs: Runs): Generator<Run> {
  for (let at = 0; at < runs.length; at += 3) {
    yield { from: runs[at] as number, to: runs[at + 1] as number, count: runs[at + 2] as number }
  }
}

/**
 * The parts of runs that come to stand in rows `start` to `end` (exclusive) of the result.
 * @param inner rows of one entry.
 * @returns runs of rows; `to` counts from `start`.
 */
export function runsWithin(runs: Runs, inner: number, start: number, end: number): Runs {
  const within: number[] = []
  for (const { from, to, count } of runsOf(runs)) {
    const [first, last] = [Math.max(start, to * inner), Math.min(end, (to + count) * inner)]
    if (first < last) within.push(from * inner + (first - to * inner), first - start, last - first)
  }
  return within
}
