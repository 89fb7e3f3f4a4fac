/** One way to store an item. */
export interface Choice {
  readonly bytes: number
  /** Expected KL divergence, in any unit that adds up over items. */
  readonly cost: number
}

/** Items by the choices they have; a solution is one index for each. */
export type Items = readonly (readonly Choice[])[]

/** One choice for each item. */
export interface Solution {
  /** For each item, the index of its choice. */
  readonly picks: readonly number[]
  readonly bytes: number
  readonly cost: number
  /** No solution within the budget costs less. */
  readonly bound: number
  /** What one more byte would save, where the budget ends; 0 where it does not bind. */
  readonly pricePerByte: number
}

/** The greedy solution, with that of the relaxation it comes from. */
export interface GreedyStart extends Solution {
  /** Picks of the Lagrangian relaxation at `pricePerByte`: the greedy solution before it fills what was left. */
  readonly basePicks: readonly number[]
}

/** A move along an item's convex hull. */
export interface Step {
  readonly item: number
  readonly to: number
  readonly bytes: number
  readonly saved: number
  readonly rate: number
}

/**
 * The multiple-choice knapsack's classic start (Sinha and Zoltners 1979): from the smallest choices, the hull steps that save most per
 * byte, until one does not fit; what is left is filled with later steps that do.
 * @throws RangeError where even the smallest choices exceed the budget.
 */
export function greedy(items: Items, budget: number): GreedyStart {
  const { first: basePicks, steps } = stepsOf(items)
  let left = budget - sum(items, basePicks, 'bytes')
  if (left < 0) throw new RangeError(`the smallest choices exceed the budget by ${-left} bytes`)
  let next = 0
  for (; next < steps.length; next += 1) {
    const step = steps[next] as Step
    if (step.bytes > left) break
    basePicks[step.item] = step.to
    left -= step.bytes
  }
  const stopped = steps[next]
  const pricePerByte = stopped?.rate ?? 0
  const bound = sum(items, basePicks, 'cost') - pricePerByte * left
  const picks = [...basePicks]
  const blocked = new Set<number>()
  for (const step of steps.slice(next)) {
    if (blocked.has(step.item)) continue
    if (step.bytes > left) {
      blocked.add(step.item)
    } else {
      picks[step.item] = step.to
      left -= step.bytes
    }
  }
  return { picks, basePicks, bytes: sum(items, picks, 'bytes'), cost: sum(items, picks, 'cost'), bound, pricePerByte }
}

/** The smallest choices, and the steps from them along all convex hulls, those that save most per byte first. */
export function stepsOf(items: Items): { readonly first: number[]; readonly steps: readonly Step[] } {
  const hulls = items.map(convexHull)
  const steps = hulls.flatMap((hull, item) => hullSteps(items[item] as readonly Choice[], hull, item))
  // Within an item the rates fall, so that its steps keep their order.
  steps.sort((a, b) => b.rate - a.rate || a.item - b.item || a.bytes - b.bytes)
  return { first: hulls.map((hull) => hull[0] as number), steps }
}

/** Total of one property over the picks. */
export function sum(items: Items, picks: readonly number[], property: keyof Choice): number {
  return picks.reduce((total, pick, item) => total + (items[item]?.[pick]?.[property] ?? 0), 0)
}

/** Indices of the choices on the lower convex hull of cost over bytes, from the smallest to the one of the least cost. */
function convexHull(choices: readonly Choice[]): number[] {
  const at = (index: number): Choice => choices[index] as Choice
  const order = choices.map((_, index) => index).sort((a, b) => at(a).bytes - at(b).bytes || at(a).cost - at(b).cost || a - b)
  const hull: number[] = []
  for (const index of order) {
    const last = hull.at(-1)
    if (last !== undefined && at(index).cost >= at(last).cost) continue
    while (
      hull.length > 1 &&
      rate(at(hull.at(-2) as number), at(hull.at(-1) as number)) <= rate(at(hull.at(-1) as number), at(index))
    ) {
      hull.pop()
    }
    hull.push(index)
  }
  return hull
}

function hullSteps(choices: readonly Choice[], hull: readonly number[], item: number): Step[] {
  return hull.slice(1).map((to, index) => {
    const before = choices[hull[index] as number] as Choice
    const after = choices[to] as Choice
    return { item, to, bytes: after.bytes - before.bytes, saved: before.cost - after.cost, rate: rate(before, after) }
  })
}

function rate(before: Choice, after: Choice): number {
  return (before.cost - after.cost) / (after.bytes - before.bytes)
}
