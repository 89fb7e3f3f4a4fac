import { type Recipe, reshape, type Shape, slice } from '../../recipe/index.js'
import type { TensorMapping } from './tensor-mappings.js'
import type { NamedTensor } from './types.js'

/** What the matrices of one expert are called: gate, up, down. */
const spellings = [
  ['gate_proj', 'up_proj', 'down_proj'],
  ['w1', 'w3', 'w2'],
] as const

/**
 * Takes the routed experts of a layer from tensors of all experts, as transformers 5 has them in memory and saves them with
 * save_original_format=False: experts.gate_up_proj [experts, 2 * width, hidden] and experts.down_proj [experts, hidden, width]; where there
 * is no gate, experts.up_proj.
 * @param mappings of a family that knows a matrix for each expert.
 * @param has whether the checkpoint holds a tensor, by the name that the family knows it by.
 * @returns the mappings, with one of all experts where the checkpoint has that and the family does not know it.
 */
export function withFusedExperts(mappings: readonly TensorMapping[], has: (name: string) => boolean): readonly TensorMapping[] {
  const byName = new Map(mappings.map((mapping) => [mapping.name, mapping] as const))
  const replaced = new Set<string>()
  const added: TensorMapping[] = []
  for (const { name } of mappings) {
    const [, from, part] = /^(.+\.experts)\.0\.(\w+)\.weight$/.exec(name) ?? []
    const kinds = spellings.find(([, , down]) => down === part)
    if (from === undefined || kinds === undefined || !has(`${from}.down_proj`) || byName.has(`${from}.down_proj`)) continue
    const [gate, up, down] = kinds
    const of = (kind: string): TensorMapping[] => expertsOf(byName, from, kind)
    for (const kind of kinds) for (const mapping of of(kind)) replaced.add(mapping.name)
    const gates = of(gate)
    added.push(
      fused(`${from}.down_proj`, [of(down)]),
      gates.length === 0 ? fused(`${from}.up_proj`, [of(up)]) : fused(`${from}.gate_up_proj`, [gates, of(up)]),
    )
  }
  return added.length === 0 ? mappings : [...mappings.filter(({ name }) => !replaced.has(name)), ...added]
}

function expertsOf(byName: ReadonlyMap<string, TensorMapping>, from: string, kind: string): TensorMapping[] {
  const found: TensorMapping[] = []
  for (;;) {
    const mapping = byName.get(`${from}.${found.length}.${kind}.weight`)
    if (mapping === undefined) return found
    found.push(mapping)
  }
}

/** A tensor that holds matrices of all experts: those of each kind, row upon row. */
function fused(name: string, kinds: readonly (readonly TensorMapping[])[]): TensorMapping {
  const shapes = kinds.map(([first]) => first?.shape ?? [])
  const rows = shapes.map(([count = 0]) => count)
  const columns = shapes[0]?.[1] ?? 0
  const height = rows.reduce((sum, count) => sum + count, 0)
  const experts = kinds[0]?.length ?? 0
  const shape: Shape = [experts, height, columns]
  return {
    name,
    shape,
    required: true,
    toGguf: (all: Recipe): NamedTensor[] =>
      Array.from({ length: experts }, (_, expert) => reshape(slice(all, 0, expert, expert + 1), [height, columns])).flatMap(
        (both, expert) => {
          let from = 0
          return kinds.flatMap((mappings, kind) => {
            const part = slice(both, 0, from, from + (rows[kind] ?? 0))
            from += rows[kind] ?? 0
            return mappings[expert]?.toGguf(part) ?? []
          })
        },
      ),
  }
}
