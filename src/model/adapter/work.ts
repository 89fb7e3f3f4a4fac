import { MqError } from '../../errors/index.js'
import type { Recipe, Shape } from '../../recipe/index.js'
import type { Checkpoint } from '../checkpoint/index.js'
import type { Change } from './deltas.js'
import type { TensorNames } from './names.js'
import type { Adapter, SavedTensor } from './open-adapter.js'

/** State of a merge. */
export interface Work {
  readonly base: Checkpoint
  readonly names: TensorNames
  readonly isSquareTurned: (name: string) => boolean
  /** Updates by the checkpoint's names of tensors. */
  readonly changes: Map<string, Change[]>
  /** Tensors that the checkpoint lacks, each made of the base's values, where it begins with any. */
  readonly added: Map<string, { shape: Shape; make: () => Recipe }>
  /** Tensors that are taken whole, with the place of their bytes. */
  readonly replaced: Map<string, { readonly tensor: SavedTensor; readonly adapter: Adapter; readonly file: number }>
  readonly notes: string[]
}

/** Returns the error for an adapter of another model. */
export function mismatch({ base }: Pick<Work, 'base'>, adapter: Adapter, problem: string): MqError {
  const trainedOn = adapter.config.baseModel ?? 'adapter_config.json does not name it'
  return MqError.of('ADAPTER_MISMATCH', { adapter: adapter.folder.path, path: base.path, problem, base: trainedOn })
}

/** Appends an update of a tensor. */
export function push(work: Work, name: string, change: Change): void {
  work.changes.set(name, [...(work.changes.get(name) ?? []), change])
}

/** Returns the shape of a tensor with the updates so far. */
export function shapeNow({ base, replaced, added }: Work, name: string): Shape | undefined {
  return replaced.get(name)?.tensor.shape ?? added.get(name)?.shape ?? base.shapeOf(name)
}
