import { MqError } from '../../errors/index.js'
import { sameShape, showShape } from '../../recipe/index.js'
import type { Checkpoint } from '../checkpoint/index.js'
import { deepseek2 } from './deepseek2.js'
import { llama } from './llama.js'
import { silently } from './tensor-table.js'
import type { Family, Model, NamedTensor } from './types.js'

export { float32, text } from './metadata.js'
export type { Entry, Model, NamedTensor } from './types.js'

const families: readonly Family[] = [llama, deepseek2]

/** Names under `architectures` in config.json that can be converted. */
export const knownArchitectures: readonly string[] = families.flatMap(({ classes }) => classes)

/**
 * What the checkpoint's architecture makes of its config.json.
 * @throws MqError ARCHITECTURE_UNKNOWN, CONFIG_INVALID.
 */
export function describeModel(checkpoint: Checkpoint): Model {
  const { architectures } = checkpoint.config
  const named: unknown = Array.isArray(architectures) ? architectures[0] : undefined
  const family = families.find(({ classes }) => typeof named === 'string' && classes.includes(named))
  if (typeof named !== 'string' || family === undefined) {
    throw MqError.of('ARCHITECTURE_UNKNOWN', {
      file: `${checkpoint.path}/config.json`,
      architecture: typeof named === 'string' ? named : '(none)',
      known: knownArchitectures.join(', '),
    })
  }
  return family.describe(checkpoint, named)
}

/** The tensors of the output, in its order, and what the user should know of those left out. */
export interface PlacedTensors {
  readonly tensors: readonly NamedTensor[]
  readonly notes: readonly string[]
}

/**
 * Turns every tensor of the checkpoint into those of the output, in the order of llama.cpp's converter: computed ones, then as the
 * checkpoint's names come.
 * @throws MqError TENSOR_MISSING, TENSOR_UNEXPECTED, TENSOR_SHAPE, STORAGE_UNSUPPORTED.
 */
export function placeTensors(checkpoint: Checkpoint, model: Model): PlacedTensors {
  const tensors = [...model.computed]
  const leftOut = new Map<string, number>()
  const seen = new Set<string>()
  for (const name of checkpoint.names) {
    const reason = model.leaveOut(name)
    if (reason !== undefined) {
      leftOut.set(reason, (leftOut.get(reason) ?? 0) + 1)
      continue
    }
    const expected = model.expected.get(name)
    if (expected === undefined) {
      throw MqError.of('TENSOR_UNEXPECTED', { path: checkpoint.path, tensor: name, architecture: model.architecture })
    }
    const shape = checkpoint.shapeOf(name) ?? []
    if (!sameShape(shape, expected.shape)) {
      throw MqError.of('TENSOR_SHAPE', { tensor: name, shape: showShape(shape), expected: showShape(expected.shape) })
    }
    seen.add(name)
    tensors.push(...expected.place(checkpoint.tensor(name)))
  }
  for (const [name, { required }] of model.expected) {
    if (required && !seen.has(name)) throw MqError.of('TENSOR_MISSING', { path: checkpoint.path, tensor: name })
  }
  leftOut.delete(silently)
  return { tensors, notes: [...leftOut].map(([reason, count]) => `Left out ${count} tensor${count === 1 ? '' : 's'} ${reason}.`) }
}
