/**
 * The names that are most like one: by the fewest insertions, deletions and replacements of characters (Levenshtein), for messages.
 * @param most how many; those that are equally like it in their order.
 */
export function nearest(name: string, names: readonly string[], most: number): string[] {
  const distances = new Map(names.map((other) => [other, distance(name.toLowerCase(), other.toLowerCase())]))
  return names.toSorted((a, b) => (distances.get(a) ?? 0) - (distances.get(b) ?? 0)).slice(0, most)
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j++) {
      const replaced = (row[j] as number) + (a[i] === b[j] ? 0 : 1)
      next.push(Math.min(replaced, (row[j + 1] as number) + 1, (next[j] as number) + 1))
    }
    row = next
  }
  return row[b.length] as number
}
