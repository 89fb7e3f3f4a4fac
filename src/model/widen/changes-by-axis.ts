import type { Blueprint } from '../blueprint.js'
import { type Grain, placementOf } from './placement.js'
import type { Axis } from './tensor-axes.js'
import { headsOf, sizeAt, type WidthChanges, type WidthKey } from './widths.js'

/** How a dimension grows. */
export interface AxisChange {
  readonly from: number
  readonly to: number
  /** Where its entries come to stand: see the recipe operation `place`. */
  readonly runs: readonly number[]
}

/** Axes that run along a width, and how many times; those of heads follow from the groups that they form. */
type WidthAxis = Exclude<Axis, '-' | 'H' | 'V' | 'N' | 'Q'>

/**
 * By how much a dimension of a block is widened; undefined where it keeps its size. A width that the metadata do not name is that of others:
 * experts of a dense width, several shared ones.
 */
export function changesByAxis(
  blueprint: Pick<Blueprint, 'architecture' | 'metadata'>,
  changes: WidthChanges,
  grain: Grain,
): (axis: Axis, layer: number) => AxisChange | undefined {
  const keys = keysByAxis(blueprint)
  const headChange = headChangesOf(blueprint, changes)
  // Tensors of all blocks share their placements.
  const placements = new Map<string, AxisChange>()
  const placed = (from: number, to: number, parts: number): AxisChange => {
    const key = `${from} ${to} ${parts}`
    const known = placements.get(key)
    if (known !== undefined) return known
    const change = { from, to, runs: placementOf(from, to, parts, grain) }
    placements.set(key, change)
    return change
  }
  return (axis, layer) => {
    if (axis === '-') return undefined
    if (axis === 'H' || axis === 'V' || axis === 'N' || axis === 'Q') return headChange?.(axis, layer)
    const [key, count, parts] = keys[axis]
    const change = changes[key]
    return change && placed(count * sizeAt(change.from, layer), count * sizeAt(change.to, layer), parts)
  }
}

/** Key, times the width stands there, parts of the dimension that grow alike. */
function keysByAxis({
  metadata,
  architecture,
}: Pick<Blueprint, 'architecture' | 'metadata'>): Readonly<
  Record<WidthAxis, readonly [key: WidthKey, times: number, parts: number]>
> {
  const has = (key: string): boolean => metadata.has(`${architecture}.${key}`)
  const expertKey = has('expert_feed_forward_length') ? 'expert_feed_forward_length' : 'feed_forward_length'
  const shared = has('expert_shared_feed_forward_length')
  const sharedCount = metadata.get(`${architecture}.expert_shared_count`)?.value
  const times = shared || typeof sharedCount !== 'number' ? 1 : Math.max(1, sharedCount)
  return {
    E: ['embedding_length', 1, 1],
    EE: ['embedding_length', 2, 2],
    EEE: ['embedding_length', 3, 3],
    F: ['feed_forward_length', 1, 1],
    FF: ['feed_forward_length', 2, 2],
    X: [expertKey, 1, 1],
    XX: [expertKey, 2, 2],
    S: shared ? ['expert_shared_feed_forward_length', 1, 1] : [expertKey, times, 1],
    SS: shared ? ['expert_shared_feed_forward_length', 2, 2] : [expertKey, 2 * times, 2],
  }
}

/** The width that an axis runs along. */
export function keyOfAxis(blueprint: Pick<Blueprint, 'architecture' | 'metadata'>, axis: Axis): WidthKey | undefined {
  if (axis === '-') return undefined
  if (axis === 'H' || axis === 'V' || axis === 'N' || axis === 'Q') return 'attention.head_count'
  return keysByAxis(blueprint)[axis][0]
}

/** New query heads stand behind those of their group: the heads that one key-value head serves. */
function headChangesOf(
  blueprint: Pick<Blueprint, 'architecture' | 'metadata'>,
  changes: WidthChanges,
): ((axis: 'H' | 'V' | 'N' | 'Q', layer: number) => AxisChange | undefined) | undefined {
  const change = changes['attention.head_count']
  const heads = headsOf(blueprint)
  if (change === undefined || heads === undefined) return undefined
  const [before, after] = [Number(change.from), Number(change.to)]
  const { keyValue, keyLength, valueLength } = heads
  return (axis, layer) => {
    const groups = sizeAt(keyValue, layer)
    if (groups === 0) return undefined
    const each = axis === 'N' ? 1 : axis === 'V' ? valueLength : keyLength
    const [from, to] = [before * each, after * each]
    const runs = placementOf(from, to, groups, 0)
    if (axis !== 'Q') return { from, to, runs }
    const others = groups * (keyLength + valueLength)
    return { from: from + others, to: to + others, runs: [...runs, from, to, others] }
  }
}
