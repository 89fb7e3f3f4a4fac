import { type Recipe, type Shape, stack } from '../../recipe/index.js'
import type { ExpectedTensor, NamedTensor } from './types.js'

/** One kind of a layer's routed experts. */
export interface ExpertKind {
  /** The checkpoint's name of one expert's matrix. */
  readonly from: (expert: number) => string
  /** The output's name of all of them. */
  readonly to: string
  readonly shape: Shape
}

/** Collects what a checkpoint should hold. */
export interface TensorTable {
  readonly expected: ReadonlyMap<string, ExpectedTensor>
  /** A tensor with one counterpart in the output. */
  add(from: string, to: string, shape: Shape, options?: { optional?: boolean; transform?: (input: Recipe) => Recipe }): void
  /** A tensor with several. */
  addSplit(from: string, shape: Shape, place: (input: Recipe) => readonly NamedTensor[]): void
  /** Experts, stacked; all kinds come out when the last matrix of the layer has come in. */
  addExperts(experts: number, kinds: readonly ExpertKind[]): void
}

export function tensorTable(): TensorTable {
  const expected = new Map<string, ExpectedTensor>()
  return {
    expected,
    add(from, to, shape, { optional = false, transform = (input: Recipe): Recipe => input } = {}) {
      expected.set(from, { shape, required: !optional, place: (recipe) => [{ name: to, recipe: transform(recipe) }] })
    },
    addSplit(from, shape, place) {
      expected.set(from, { shape, required: true, place })
    },
    addExperts(experts, kinds) {
      const stacks = kinds.map((): Recipe[] => [])
      let waiting = experts * kinds.length
      for (const [kind, { from, shape }] of kinds.entries()) {
        for (let expert = 0; expert < experts; expert++) {
          const place = (recipe: Recipe): readonly NamedTensor[] => {
            ;(stacks[kind] as Recipe[])[expert] = recipe
            waiting--
            return waiting > 0 ? [] : kinds.map(({ to }, index) => ({ name: to, recipe: stack(stacks[index] as Recipe[]) }))
          }
          expected.set(from(expert), { shape, required: true, place })
        }
      }
    },
  }
}

/** The reason of what is left out without a word. */
export const silently = 'that need no word'

/** Buffers that old checkpoints saved with their weights. */
export function isComputedBuffer(name: string): boolean {
  return ['.rotary_emb.inv_freq', '.attention.bias', '.attention.masked_bias'].some((suffix) => name.endsWith(suffix))
}
