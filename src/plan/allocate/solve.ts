import { type Choice, type GreedyStart, greedy, type Items, type Solution, sum } from './greedy.js'

/** Partial solutions kept for each item; where more would be needed the least promising are dropped, and the result may miss the optimum. */
const maxStates = 4000
/** Partial solutions that are looked at over all items: many items are close to the bound already, and each state costs time. */
const statesInAll = 300_000

/** A choice other than the relaxation's, as what it changes. */
interface Deviation {
  readonly pick: number
  readonly bytes: number
  /** How much worse than the relaxation's choice it is at the relaxation's price; never negative. */
  readonly loss: number
}

interface Core {
  readonly item: number
  readonly deviations: readonly Deviation[]
}

/** A chain of deviations for the items seen so far. */
interface State {
  readonly bytes: number
  readonly loss: number
  readonly before?: State
  readonly item?: number
  readonly pick?: number
}

/** A solution, with how far from optimal it can be. */
export interface Solved extends Solution {
  /** Whether the cost is proven to be the least. */
  readonly exact: boolean
}

/**
 * One choice for each item, of the least total cost within a budget of bytes: the multiple-choice knapsack problem.
 * From the Lagrangian relaxation every choice has a loss >= 0 at the relaxation's price of a byte, and a whole solution is worse than
 * the bound by its losses plus the price of the bytes left over (Pisinger 1995). So only choices that lose less than the greedy
 * solution's distance to the bound can be part of a better one; dynamic programming over these, with dominated states removed, finds the
 * best. The same items and budget give the same picks.
 * @param budget bytes, at least the sum of the smallest choices.
 * @throws RangeError where even the smallest choices exceed the budget.
 */
export function solve(items: Items, budget: number, maxStates = statesFor(items.length)): Solved {
  const start = greedy(items, budget)
  if (start.pricePerByte === 0 || start.cost <= start.bound) return { ...start, exact: true }
  const price = start.pricePerByte
  const slack = budget - sum(items, start.basePicks, 'bytes')
  let gap = start.cost - start.bound
  const core = coreOf(items, start, gap)
  const maxFreed = suffixSums(core, (bytes) => Math.min(0, bytes))
  const maxAdded = suffixSums(core, (bytes) => Math.max(0, bytes))

  let best: State | undefined
  let exact = true
  let states: State[] = [{ bytes: 0, loss: 0 }]
  core.forEach(({ item, deviations }, index) => {
    const freed = maxFreed[index + 1] as number
    const added = maxAdded[index + 1] as number
    const reached: State[] = []
    const consider = (state: State): void => {
      if (state.bytes + freed > slack) return
      if (state.loss + price * Math.max(0, slack - state.bytes - added) >= gap) return
      reached.push(state)
      if (state.bytes > slack) return
      const distance = state.loss + price * (slack - state.bytes)
      if (distance < gap) {
        gap = distance
        best = state
      }
    }
    for (const state of states) {
      consider(state)
      for (const { pick, bytes, loss } of deviations) {
        consider({ bytes: state.bytes + bytes, loss: state.loss + loss, before: state, item, pick })
      }
    }
    states = undominated(reached, price)
    if (states.length > maxStates) {
      exact = false
      states = states.toSorted((a, b) => a.loss - b.loss || b.bytes - a.bytes).slice(0, maxStates)
    }
  })
  if (best === undefined) return { ...start, exact }
  const picks = [...start.basePicks]
  for (let state: State | undefined = best; state !== undefined; state = state.before) {
    if (state.item !== undefined && state.pick !== undefined) picks[state.item] = state.pick
  }
  const { bound } = start
  return { picks, bytes: sum(items, picks, 'bytes'), cost: sum(items, picks, 'cost'), bound, pricePerByte: price, exact }
}

/** Items that can differ from the relaxation, with the ways in which they can; those that cost least to change come first. */
function coreOf(items: Items, { basePicks, pricePerByte }: GreedyStart, gap: number): Core[] {
  const core = items.map((choices, item) => {
    const base = choices[basePicks[item] as number] as Choice
    const deviations = choices
      .map((choice, pick) => {
        const bytes = choice.bytes - base.bytes
        return { pick, bytes, loss: Math.max(0, choice.cost - base.cost + pricePerByte * bytes) }
      })
      .filter(({ pick, loss }) => pick !== basePicks[item] && loss < gap)
    return { item, deviations }
  })
  const least = ({ deviations }: Core): number => Math.min(...deviations.map(({ loss }) => loss))
  return core.filter(({ deviations }) => deviations.length > 0).toSorted((a, b) => least(a) - least(b) || a.item - b.item)
}

/** For each place in the core, how far the items from there on can move the size in one direction. */
function suffixSums(core: readonly Core[], part: (bytes: number) => number): number[] {
  const sums = [0]
  for (const { deviations } of core.toReversed()) {
    const extreme = deviations.map(({ bytes }) => part(bytes)).reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0)
    sums.push((sums.at(-1) as number) + extreme)
  }
  return sums.reverse()
}

/** Without the states that another one beats in both size and cost. */
function undominated(states: State[], price: number): State[] {
  const cost = ({ loss, bytes }: State): number => loss - price * bytes
  states.sort((a, b) => a.bytes - b.bytes || a.loss - b.loss)
  let least = Number.POSITIVE_INFINITY
  return states.filter((state) => {
    if (cost(state) >= least) return false
    least = cost(state)
    return true
  })
}

function statesFor(items: number): number {
  return Math.max(1, Math.min(maxStates, Math.floor(statesInAll / Math.max(1, items))))
}
