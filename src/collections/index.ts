export { type Channel, newChannel } from './channel.js'
export { nearest } from './nearest.js'

/** The items that share a key, in their order, by key in the order of the first of each. */
export function groupBy<Item, Key>(items: Iterable<Item>, keyOf: (item: Item) => Key): Map<Key, Item[]> {
  const groups = new Map<Key, Item[]>()
  for (const item of items) {
    const key = keyOf(item)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [item])
    else group.push(item)
  }
  return groups
}

/** Consecutive ranges of `size` numbers from 0 to `count`; the last may be shorter. */
export function rangesOf(count: number, size: number): { readonly first: number; readonly end: number }[] {
  return Array.from({ length: Math.ceil(count / size) }, (_, index) => ({
    first: index * size,
    end: Math.min(count, (index + 1) * size),
  }))
}

/** At most `most` items, evenly spaced over all, the same ones each time; all of them where there are no more. */
export function evenlySpaced<Item>(items: readonly Item[], most: number): readonly Item[] {
  if (items.length <= most) return items
  return Array.from({ length: most }, (_, index) => items[Math.floor(((index + 0.5) * items.length) / most)] as Item)
}
