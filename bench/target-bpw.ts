import { type GgmlTypeName, ggmlType } from '../formats/ggml/types.js'

/** A type that a tensor may get, with its expected error. */
export interface Candidate {
  readonly type: GgmlTypeName
  readonly bytes: number
  readonly error: number
}

export interface WeighedTensor {
  readonly name: string
  readonly elements: number
  readonly candidates: readonly Candidate[]
}

interface Item {
  readonly name: string
  /** From few bytes to many, on the convex hull. */
  readonly hull: readonly Candidate[]
  /** How much more than its error a tensor counts. */
  readonly boost: number
}

/** Below this many bits per weight tensors are not boosted. */
const boostTaper = 2.2

/**
 * A type for each tensor within a number of bytes, by the rule of llama.cpp's proposed `--target-bpw`: the convex hull of each tensor's
 * sizes and errors, the price of a byte by bisection so that the choices fit, and one greedy pass over what is left. Some roles are boosted
 * by hand. The rule that keeps single ffn_down from falling behind needs 8 layers, and is left out.
 * Source: llama.cpp pull request 15550.
 */
export function targetBpw(tensors: readonly WeighedTensor[], budget: number): ReadonlyMap<string, GgmlTypeName> {
  const elements = tensors.reduce((sum, tensor) => sum + tensor.elements, 0)
  const bits = (8 * budget) / elements
  const tied = !tensors.some(({ name }) => name === 'output.weight')
  const items = tensors.map(({ name, elements: own, candidates }): Item => {
    const tapered = name.includes('ffn_down.weight') && bits < boostTaper
    const hull = hullOf(candidates).map((candidate) => {
      const raised = tapered ? 1 + 2 ** (3 - ggmlType(candidate.type).bitsPerWeight) : 1
      return { ...candidate, error: raised * candidate.error }
    })
    return { name, hull, boost: boostOf(name, bits, tied ? own / elements : undefined) }
  })
  const picks = fillUp(items, bisect(items, budget), budget)
  return new Map(items.map(({ name, hull }, index) => [name, (hull[picks[index] as number] as Candidate).type]))
}

/** @param tiedShare the tensor's share of all weights, where the embedding is also the output. */
function boostOf(name: string, bits: number, tiedShare: number | undefined): number {
  if (name.includes('ffn_down.weight')) return bits < boostTaper ? 1 : 6
  if (name === 'output.weight') return 3
  if (name.includes('attn_v')) return 1.25
  if (tiedShare === undefined || name !== 'token_embd.weight' || bits < boostTaper) return 1
  return tiedShare <= 0.1 ? 2.5 : Math.max(1.25, 2.5 * (1 - 3 * (tiedShare - 0.1)))
}

/** The candidates that are the best at some price of a byte, from few bytes to many. */
export function hullOf(candidates: readonly Candidate[]): Candidate[] {
  const hull: Candidate[] = []
  let least = Number.POSITIVE_INFINITY
  for (const candidate of candidates.toSorted((a, b) => a.bytes - b.bytes || a.error - b.error)) {
    if (candidate.error >= least) continue
    least = candidate.error
    while (hull.length >= 2 && isAbove(hull.at(-2) as Candidate, hull.at(-1) as Candidate, candidate)) hull.pop()
    hull.push(candidate)
  }
  return hull
}

/** Whether the middle one lies on or above the line between the others. */
function isAbove(first: Candidate, middle: Candidate, last: Candidate): boolean {
  const slope = (last.error - first.error) / (last.bytes - first.bytes)
  return middle.error >= first.error + slope * (middle.bytes - first.bytes)
}

/** The choices at the lowest price at which they fit. */
function bisect(items: readonly Item[], budget: number): number[] {
  let high = 1
  while (bytesOf(items, picksAt(items, high)) > budget && high < 2 ** 60) high *= 2
  let low = 0
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2
    if (bytesOf(items, picksAt(items, middle)) > budget) low = middle
    else high = middle
  }
  return picksAt(items, high)
}

function picksAt(items: readonly Item[], price: number): number[] {
  return items.map(({ hull, boost }) => {
    const costs = hull.map(({ error, bytes }) => error + (8 * price * bytes) / boost)
    return costs.indexOf(Math.min(...costs))
  })
}

/** Spends what is left where it saves most error for a byte, step by step on each hull. */
function fillUp(items: readonly Item[], start: readonly number[], budget: number): number[] {
  const picks = [...start]
  const full = new Set<number>()
  let left = budget - bytesOf(items, picks)
  for (;;) {
    let best: { item: number; bytes: number; gain: number } | undefined
    for (const [item, { hull, boost }] of items.entries()) {
      const [now, next] = [hull[picks[item] as number] as Candidate, hull[(picks[item] as number) + 1]]
      if (next === undefined || full.has(item)) continue
      const bytes = next.bytes - now.bytes
      const gain = (boost * (now.error - next.error)) / bytes
      if (best === undefined || gain > best.gain) best = { item, bytes, gain }
    }
    if (best === undefined) return picks
    if (best.bytes > left) full.add(best.item)
    else {
      left -= best.bytes
      picks[best.item] = (picks[best.item] as number) + 1
    }
  }
}

function bytesOf(items: readonly Item[], picks: readonly number[]): number {
  return items.reduce((sum, { hull }, index) => sum + (hull[picks[index] as number] as Candidate).bytes, 0)
}
