import type { PreparedKey, QuantizeTask } from '../../engine/index.js'
import type { RemoteShards } from '../../model/index.js'
import { finish, type WithProgress } from '../../progress/index.js'

/** Maximum number of shards on the disk at a time, unless a tensor needs more of them at once. */
const room = 2

/** Tasks that need the same weight files. */
export interface Phase {
  readonly files: readonly number[]
  readonly numbers: ReadonlySet<number>
}

/**
 * Tasks in groups that need the same weight files, in the order of these, so that each file comes once where tensors do not lie across them.
 * @param sourceOf what a covariance is made from, where a task needs one.
 */
export async function phasesOf(
  tasks: Iterable<QuantizeTask>,
  shards: RemoteShards,
  sourceOf: (key: PreparedKey) => Promise<unknown>,
): Promise<readonly Phase[]> {
  const known = new WeakMap<object, readonly number[]>()
  const ofSources = new Map<string, readonly number[]>()
  const phases = new Map<string, { files: readonly number[]; numbers: Set<number> }>()
  const isRemote = (file: number): boolean => shards.contents[file] !== undefined
  for (const { number, run, needs = [] } of tasks) {
    let files = known.get(run.recipe)
    if (files === undefined) known.set(run.recipe, (files = filesIn(run.recipe)))
    const needed = new Set(files)
    for (const key of needs) {
      let more = ofSources.get(key.input)
      if (more === undefined) ofSources.set(key.input, (more = filesIn(await sourceOf(key))))
      for (const file of more) needed.add(file)
    }
    const sorted = [...needed].filter(isRemote).toSorted((one, other) => one - other)
    const name = sorted.join()
    const phase = phases.get(name) ?? { files: sorted, numbers: new Set<number>() }
    phase.numbers.add(number)
    phases.set(name, phase)
  }
  const place = ({ files }: Phase): readonly [number, number] => [files[0] ?? -1, files.at(-1) ?? -1]
  return [...phases.values()].toSorted((one, other) => {
    const [[first, last], [otherFirst, otherLast]] = [place(one), place(other)]
    return first - otherFirst || last - otherLast
  })
}

/** Numbers of the files that byte ranges in plain data name. */
function filesIn(value: unknown): number[] {
  const found = new Set<number>()
  const walk = (node: unknown): void => {
    if (typeof node !== 'object' || node === null || ArrayBuffer.isView(node)) return
    const { file, start, end } = node as Record<string, unknown>
    if (typeof file === 'number' && typeof start === 'number' && typeof end === 'number') found.add(file)
    else if (Array.isArray(node)) {
      if (typeof node[0] !== 'number') node.forEach(walk)
    } else Object.values(node).forEach(walk)
  }
  walk(value)
  return [...found]
}

/** Downloads and removes the shards of a streamed model. */
export interface ShardWindow {
  /** Removes shards that a phase does not need and downloads those that it needs; if there is room, shards of the next phase are prefetched. */
  hold(phase: Phase, next: Phase | undefined): WithProgress<void>
  /** Stops downloads, and removes all shards if the output is complete. */
  close(whole: boolean): Promise<void>
}

/** A window over the shards of a model. @param signal ends downloads. */
export function shardWindow(shards: RemoteShards, signal: AbortSignal | undefined): ShardWindow {
  const present = new Set<number>()
  const ending = new AbortController()
  const signals = AbortSignal.any([ending.signal, ...(signal === undefined ? [] : [signal])])
  let ahead: { readonly file: number; readonly done: Promise<unknown> } | undefined
  const begin = (file: number): void => {
    const done = finish(shards.fetch(file, signals))
    // It is awaited later; until then it must not count as unhandled.
    done.catch(() => undefined)
    ahead = { file, done }
  }
  return {
    async *hold({ files }, next) {
      if (ahead !== undefined) {
        const { file, done } = ahead
        ahead = undefined
        await done
        present.add(file)
      }
      const needed = new Set(files)
      for (const file of present) if (!needed.has(file)) present.delete(file)
      const later = next?.files.find((file) => !needed.has(file))
      const coming = needed.size < room ? later : undefined
      await shards.keepOnly(new Set([...needed, ...(coming === undefined ? [] : [coming])]))
      for (const file of files) {
        if (!present.has(file)) yield* shards.fetch(file, signals)
        present.add(file)
      }
      if (coming !== undefined) begin(coming)
    },
    async close(whole) {
      ending.abort()
      await ahead?.done.catch(() => undefined)
      if (whole) await shards.remove()
    },
  }
}
