import type { Recipe } from './recipe.js'

/** Statistics of all values of a recipe, which every range of its rows needs: each is computed once and shared. */
export interface Statistics {
  /**
   * @param name tells the statistics of one recipe apart.
   * @param compute is called where the statistic is not known; a failure is not kept.
   */
  of<Value>(name: string, recipe: Recipe, compute: () => Promise<Value>): Promise<Value>
}

/** Tensors come one after another, and few are computed from at a time. */
const maxKept = 64

/** No statistics yet, of recipes that read the same files. */
export function newStatistics(): Statistics {
  const kept = new Map<string, Promise<unknown>>()
  return {
    of<Value>(name: string, recipe: Recipe, compute: () => Promise<Value>): Promise<Value> {
      // By content: each task that comes to a thread brings a copy of its recipe.
      const key = `${name} ${JSON.stringify(recipe)}`
      const found = kept.get(key)
      if (found !== undefined) return found as Promise<Value>
      const made = compute()
      kept.set(key, made)
      made.catch(() => kept.delete(key))
      const [oldest] = kept.keys()
      if (kept.size > maxKept && oldest !== undefined) kept.delete(oldest)
      return made
    },
  }
}
