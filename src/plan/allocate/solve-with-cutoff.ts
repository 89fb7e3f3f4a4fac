import { type Choice, type Items, type Solution, type Step, stepsOf } from './greedy.js'
import { solve } from './solve.js'

/** A solution, with the first step that the budget was too small for. */
export interface CutoffSolution extends Solution {
  /** The first step above the cutoff that did not fit, with the budget at which it fits; empty where all fitted. */
  readonly pending: { readonly nextBytes?: number; readonly item?: number; readonly pick?: number }
}

/** Cutoff: the relative decrease of the expected KL divergence for each relative increase of all bytes. */
const minElasticity = 0.5
/** Below this share of the budget, unused bytes are not looked at. */
const closeEnough = 0.005

/**
 * One choice for each item with the lowest total cost within a budget, without steps of negligible gain. Where the next step of a large matrix
 * exceeds the budget, the bytes that are left would otherwise go into types whose errors are negligible already.
 * @param budget bytes, at least the sum of the smallest choices.
 * @param otherBytes bytes of the file besides the items.
 * @throws RangeError where even the smallest choices exceed the budget.
 */
export function solveWithCutoff(items: Items, budget: number, otherBytes: number): CutoffSolution {
  const all = solve(items, budget)
  const { bytes, next } = bytesAboveCutoff(items, budget, otherBytes)
  const pending = next === undefined ? {} : { nextBytes: next.bytes, item: next.step.item, pick: next.step.to }
  if (bytes + otherBytes > (1 - closeEnough) * (all.bytes + otherBytes)) return { ...all, pending }
  const less = solve(items, bytes)
  const [gained, extra] = [1 - all.cost / less.cost, (all.bytes - less.bytes) / (less.bytes + otherBytes)]
  return gained >= minElasticity * extra ? { ...all, pending } : { ...less, pending }
}

/** A step that does not fit, and the budget at which it fits. */
interface BlockedStep {
  readonly step: Step
  readonly bytes: number
}

/**
 * Takes steps along the items' convex hulls in the order of savings per byte, skipping those that do not fit, down to the cutoff.
 * @returns the bytes at the cutoff, and the first step that did not fit, with the budget at which it fits.
 */
function bytesAboveCutoff(
  items: Items,
  budget: number,
  otherBytes: number,
): { readonly bytes: number; readonly next?: BlockedStep } {
  const { first, steps } = stepsOf(items)
  const chosen = first.map((pick, item) => items[item]?.[pick] as Choice)
  let bytes = chosen.reduce((sum, choice) => sum + choice.bytes, 0)
  let cost = chosen.reduce((sum, choice) => sum + choice.cost, 0)
  const blocked = new Map<number, BlockedStep>()
  for (const step of steps) {
    if (blocked.has(step.item)) continue
    if (step.rate * (bytes + otherBytes) < minElasticity * cost) return { bytes, ...firstOf(blocked) }
    if (step.bytes > budget - bytes) {
      blocked.set(step.item, { step, bytes: bytes + step.bytes })
    } else {
      bytes += step.bytes
      cost -= step.saved
    }
  }
  return { bytes: budget, ...firstOf(blocked) }
}

function firstOf(blocked: ReadonlyMap<number, BlockedStep>): { readonly next?: BlockedStep } {
  const next = [...blocked.values()].toSorted((a, b) => a.bytes - b.bytes)[0]
  return next === undefined ? {} : { next }
}
