import { groupBy } from '../../collections/index.js'

/** Common properties of the tensors of a group. */
interface Groupable {
  readonly name: string
  readonly shape: readonly number[]
  readonly type: string
  readonly sizeBytes: number
}

/** Tensors that differ in nothing but the numbers in their names: the same part of several layers or experts. */
export interface TensorGroup<T> {
  /** Their names in one, such as `blk.{0-2,5}.ffn_down.weight`. */
  readonly name: string
  readonly tensors: readonly T[]
  readonly sizeBytes: number
}

/** A number between dots: a layer, an expert. */
const number = /(?<=\.)\d+(?=\.)/g

/** Puts tensors together that have the same shape and type, and the same name but for its numbers. In the order of the first of each. */
export function groupTensors<T extends Groupable>(tensors: readonly T[]): TensorGroup<T>[] {
  const groups = groupBy(tensors, ({ name, shape, type }) => JSON.stringify([name.replaceAll(number, '*'), shape, type]))
  return [...groups.values()].map((tensors) => ({
    name: commonName(tensors.map(({ name }) => name)),
    tensors,
    sizeBytes: tensors.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  }))
}

/** Where several numbers differ, not every combination need be there: the count of the group tells. */
function commonName(names: readonly string[]): string {
  const found = names.map((name) => (name.match(number) ?? []).map(Number))
  let place = 0
  return (names[0] ?? '').replaceAll(number, (digits) => {
    const at = place++
    const values = [...new Set(found.map((numbers) => numbers[at] as number))].toSorted((a, b) => a - b)
    return values.length === 1 ? digits : `{${ranges(values)}}`
  })
}

/** Sorted numbers as `0-2,5`. */
function ranges(values: readonly number[]): string {
  const runs: [first: number, last: number][] = []
  for (const value of values) {
    const run = runs.at(-1)
    if (run !== undefined && run[1] === value - 1) run[1] = value
    else runs.push([value, value])
  }
  return runs.map(([first, last]) => (first === last ? String(first) : `${first}-${last}`)).join(',')
}
