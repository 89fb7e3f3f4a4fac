import { MqError } from '../errors/index.js'
import { type Blueprint, layerOfTensor, roleOfTensor } from '../model/index.js'

/** Of the weights that a calibration knows, at least so many must be in a model that it is used for. */
const minShare = 0.9

/** Keys and values of multi-head latent attention, which a model keeps in one matrix or apart. */
const latentParts: readonly string[] = ['attention-k-b', 'attention-v-b']

/**
 * Refuses a calibration of another model, whose names and widths may agree with this one's here and there. Layers that the model lacks at
 * its end count for nothing: it may be a shorter one of its kind.
 * @param weights that the calibration knows.
 * @throws MqError CALIBRATION_MISMATCH.
 */
export function checkModel(
  path: string,
  weights: Iterable<string>,
  { architecture, tensors }: Pick<Blueprint, 'architecture' | 'tensors'>,
): void {
  const names = new Set(tensors.map(({ name }) => name))
  const layers = Math.max(0, ...tensors.map(({ layer = -1 }) => layer + 1))
  const known = [...weights].filter(
    (name) => (layerOfTensor(name) ?? -1) < layers && !latentParts.includes(roleOfTensor(name, architecture)),
  )
  const missing = known.filter((name) => !names.has(name))
  if (missing.length <= (1 - minShare) * known.length) return
  const problem = `${missing.length} of its ${known.length} tensors are not in the model, such as ${missing[0]}`
  throw MqError.of('CALIBRATION_MISMATCH', { file: path, first: 'this model', problem })
}
