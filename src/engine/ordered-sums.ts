import { addErrorSums, type ErrorSums } from './error-sums.js'

/**
 * Adds parts that arrive in any order in the order of their numbers, so that floating-point sums do not depend on the number of threads.
 * Holds only parts that arrived early.
 */
export class OrderedSums {
  #total: ErrorSums | undefined
  #next = 0
  readonly #early = new Map<number, ErrorSums>()

  /** Takes part number `index`, counted from 0 without gaps. */
  add(index: number, sums: ErrorSums): void {
    this.#early.set(index, sums)
    for (let part = this.#early.get(this.#next); part !== undefined; part = this.#early.get(this.#next)) {
      this.#total = this.#total === undefined ? part : addErrorSums(this.#total, part)
      this.#early.delete(this.#next)
      this.#next += 1
    }
  }

  /** The sum of all parts; undefined where there were none. */
  get total(): ErrorSums | undefined {
    return this.#total
  }
}
