import { scramble } from '../../../formats/imatrix/index.js'

/** A sample of rows of which each had the same chance. */
export interface RowSample {
  /** Copies of the rows, in the order in which they came. */
  readonly rows: readonly Float32Array[]
  offer(values: Float32Array, start: number): void
}

/** Gives every row a number that looks random and follows from its place alone, and keeps the `size` rows of the least numbers. */
export function sampleRows(columns: number, size: number, seed: number): RowSample {
  const taken: { readonly number: number; readonly index: number; readonly row: Float32Array }[] = []
  let offered = 0
  return {
    get rows() {
      return taken.toSorted((a, b) => a.index - b.index).map(({ row }) => row)
    },
    offer(values, start) {
      const index = offered
      offered += 1
      const number = scramble(scramble(seed) ^ (index + 1))
      const last = taken.at(-1)
      if (taken.length === size && last !== undefined && number >= last.number) return
      if (taken.length === size) taken.pop()
      const at = taken.findIndex((other) => other.number > number)
      taken.splice(at < 0 ? taken.length : at, 0, { number, index, row: values.slice(start, start + columns) })
    },
  }
}
