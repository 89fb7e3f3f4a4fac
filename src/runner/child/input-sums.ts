import type { InputRows } from './input-rows.js'

/** Sums of squares of one weight's inputs. */
export interface InputSums {
  /** Sum of x^2 for each column, one run of columns after the other for a stack of matrices. */
  readonly squares: Float64Array
  /** Rows that each expert has seen; one number for a weight that every token passes. */
  readonly counts: Float64Array
}

/** Adds rows up that a weight was multiplied with. @param routed whether matrices see tokens of their own, and are counted apart. */
export function addSquares(
  sums: Map<string, InputSums>,
  name: string,
  { columns, values, starts }: InputRows,
  routed: boolean,
): void {
  const length = columns * starts.length
  const found = sums.get(name) ?? {
    squares: new Float64Array(length),
    counts: new Float64Array(routed ? starts.length : 1),
  }
  if (found.squares.length !== length) throw new Error(`${name} changes its size`)
  sums.set(name, found)
  const { squares, counts } = found
  for (const [matrix, rows] of starts.entries()) {
    const to = matrix * columns
    for (const from of rows) {
      for (let column = 0; column < columns; column += 1) {
        const value = values[from + column] as number
        squares[to + column] = (squares[to + column] as number) + value * value
      }
    }
    // one count, however many matrices: each has seen every token
    if (routed) counts[matrix] = (counts[matrix] as number) + rows.length
    else if (matrix === 0) counts[0] = (counts[0] as number) + rows.length
  }
}
