import { type Choice, type Items, type Solution, type Step, stepsOf } from './greedy.js'
import { solve } from './solve.js'

/** What a budget is spent on. */
export interface Spent extends Solution {
  /** The first step that was worth its bytes and did not fit, with the budget at which it would have. */
  readonly saved: { readonly nextBytes?: number; readonly item?: number; readonly pick?: number }
}

/**
 * Bytes are worth spending where a hundredth more of all bytes saves at least so many hundredths of the expected KL divergence.
 */
const leastElasticity = 0.5
/** What is left of a budget does not matter below this share of it. */
const closeEnough = 0.005

/**
 * One choice for each item, of the least total cost within a budget, but without steps that gain next to nothing: a large matrix that has to
 * wait for its next type leaves room which would go into types that are lossless for any purpose already.
 * @param budget bytes, at least the sum of the smallest choices.
 * @param otherBytes of the file, beside those of the items.
 * @throws RangeError where even the smallest choices exceed the budget.
 */
export function spend(items: Items, budget: number, otherBytes: number): Spent {
  const all = solve(items, budget)
  const { bytes, next } = worthSpending(items, budget, otherBytes)
  const saved = next === undefined ? {} : { nextBytes: next.bytes, item: next.step.item, pick: next.step.to }
  if (bytes + otherBytes > (1 - closeEnough) * (all.bytes + otherBytes)) return { ...all, saved }
  const less = solve(items, bytes)
  const [gained, extra] = [1 - all.cost / less.cost, (all.bytes - less.bytes) / (less.bytes + otherBytes)]
  return gained >= leastElasticity * extra ? { ...all, saved } : { ...less, saved }
}

/** A step that does not fit, and the budget that it would have fitted. */
interface Waiting {
  readonly step: Step
  readonly bytes: number
}

/**
 * Takes the steps along the items' convex hulls by what they save per byte, passing over those that do not fit, until the best one left is
 * not worth its bytes.
 * @returns the bytes up to there, and the first step that did not fit, with the budget that it would have fitted.
 */
function worthSpending(items: Items, budget: number, otherBytes: number): { readonly bytes: number; readonly next?: Waiting } {
  const { first, steps } = stepsOf(items)
  const chosen = first.map((pick, item) => items[item]?.[pick] as Choice)
  let bytes = chosen.reduce((sum, choice) => sum + choice.bytes, 0)
  let cost = chosen.reduce((sum, choice) => sum + choice.cost, 0)
  const waiting = new Map<number, Waiting>()
  for (const step of steps) {
    if (waiting.has(step.item)) continue
    if (step.rate * (bytes + otherBytes) < leastElasticity * cost) return { bytes, ...firstOf(waiting) }
    if (step.bytes > budget - bytes) {
      waiting.set(step.item, { step, bytes: bytes + step.bytes })
    } else {
      bytes += step.bytes
      cost -= step.saved
    }
  }
  return { bytes: budget, ...firstOf(waiting) }
}

function firstOf(waiting: ReadonlyMap<number, Waiting>): { readonly next?: Waiting } {
  const next = [...waiting.values()].toSorted((a, b) => a.bytes - b.bytes)[0]
  return next === undefined ? {} : { next }
}
