import { MqError } from '../errors/index.js'
import { type Blueprint, layerOfTensor, roleOfTensor } from '../model/index.js'

/** Minimum share of a calibration's weights that a model must have. */
const minShare = 0.9

/** Keys and values of multi-head latent attention, which a model keeps in one matrix or apart. */
const latentParts: readonly string[] = ['attention-k-b', 'attention-v-b']

/**
 * Refuses a calibration of another model, some of whose names and widths may agree with this one's. Missing layers at the end do not count: the
 * model may be a shorter one of the same kind.
 * @param weights names of the weights in the calibration.
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
