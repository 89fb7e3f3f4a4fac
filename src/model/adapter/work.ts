import { MqError } from '../../errors/index.js'
import type { Recipe, Shape } from '../../recipe/index.js'
import type { Checkpoint } from '../checkpoint/index.js'
import type { Change } from './deltas.js'
import type { TensorNames } from './names.js'
import type { Adapter, SavedTensor } from './open-adapter.js'

/** What is being put together. */
export interface Work {
  readonly base: Checkpoint
  readonly names: TensorNames
  readonly isSquareTurned: (name: string) => boolean
  /** By the checkpoint's names. */
  readonly changes: Map<string, Change[]>
  /** Tensors that the checkpoint lacks, each made of the base's values, where it begins with any. */
  readonly added: Map<string, { shape: Shape; make: () => Recipe }>
  /** Tensors that are taken whole, with the place of their bytes. */
  readonly replaced: Map<string, { readonly tensor: SavedTensor; readonly adapter: Adapter; readonly file: number }>
  readonly notes: string[]
}

/** An adapter is for another model. */
export function mismatch({ base }: Pick<Work, 'base'>, adapter: Adapter, problem: string): MqError {
  const trainedOn = adapter.config.baseModel ?? 'adapter_config.json does not name it'
  return MqError.of('ADAPTER_MISMATCH', { adapter: adapter.folder.path, path: base.path, problem, base: trainedOn })
}

/** Another change of a tensor, after those that are there. */
export function push(work: Work, name: string, change: Change): void {
  work.changes.set(name, [...(work.changes.get(name) ?? []), change])
}

/** The shape that a tensor has with what adapters have brought so far. */
export function shapeNow({ base, replaced, added }: Work, name: string): Shape | undefined {
  return replaced.get(name)?.tensor.shape ?? added.get(name)?.shape ?? base.shapeOf(name)
}
