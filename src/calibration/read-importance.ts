import type { Importance } from '../engine/index.js'
import { MqError } from '../errors/index.js'
import type { Blueprint } from '../model/index.js'
import { elementCount, rowLength } from '../recipe/index.js'
import { checkModel } from './check-model.js'
import { otherWidths } from './other-widths.js'
import { readMatrix } from './read-matrix.js'
import { shrunkMeanSquares } from './reduce-rank.js'
import { narrowedImportance, widenedImportance } from './widened-inputs.js'

/** The importance matrix of a model. */
export interface ModelImportance {
  readonly importance: Importance
  /** Things the user should know. */
  readonly notes: readonly string[]
}

/**
 * Reads an importance matrix in either of llama.cpp's formats, and checks it against a model. Experts with few tokens are shrunk towards the mean
 * of all experts.
 * @throws MqError IMPORTANCE_MISMATCH, CALIBRATION_MISMATCH where it is of another model, FILE_MISSING and the like; FormatError IMATRIX_INVALID, GGUF_INVALID,
 *   INPUT_TRUNCATED.
 */
export async function readImportance(
  path: string,
  model: Pick<Blueprint, 'architecture' | 'tensors'> & Partial<Blueprint>,
): Promise<ModelImportance> {
  const importance = await readSquares(path)
  const other = isWhole(model) ? otherWidths(importance, model) : undefined
  if (other === undefined) return checkedImportance(path, importance, model)
  const measured = checkedImportance(path, importance, other.measured)
  const placed =
    other.way === 'widened'
      ? widenedImportance(measured.importance, model)
      : narrowedImportance(measured.importance, other.measured)
  return { importance: placed, notes: [...measured.notes, widthsNote(path, other.way)] }
}

/** Mean squares of the inputs of each tensor, those of experts shrunk towards their mean. @throws as readMatrix does. */
export async function readSquares(path: string): Promise<ReadonlyMap<string, Float32Array>> {
  const { entries } = await readMatrix(path)
  return new Map([...entries].map(([name, entry]) => [name, shrunkMeanSquares(entry)]))
}

/** Note that measurements of a model are used for its widened or narrowed form. */
export function widthsNote(path: string, way: 'widened' | 'narrowed'): string {
  const [was, is] =
    way === 'widened' ? ['as it was before it was', 'zeros are added'] : ['after it was', 'its zeros are left out']
  return `${path} was measured with the model ${was} widened: ${is}.`
}

/** Whether a blueprint has all that widening needs. */
export function isWhole(model: Partial<Blueprint>): model is Blueprint {
  return model.metadata !== undefined && model.layers !== undefined
}

/** Checks an importance matrix against the model that it was measured with. @throws MqError IMPORTANCE_MISMATCH, CALIBRATION_MISMATCH. */
export function checkedImportance(
  path: string,
  importance: ReadonlyMap<string, Float32Array>,
  model: Pick<Blueprint, 'architecture' | 'tensors'>,
): ModelImportance {
  const { tensors } = model
  const found = tensors.flatMap((tensor) => {
    const values = importance.get(tensor.name)
    if (values === undefined) return []
    const columns = rowLength(tensor)
    const whole = columns * elementCount(tensor.shape.slice(0, -2))
    if (values.length === columns || values.length === whole) return [tensor.name]
    const problem = `it has ${values.length} values, but ${whole} are needed`
    throw MqError.of('IMPORTANCE_MISMATCH', { tensor: tensor.name, problem })
  })
  const [first] = tensors
  if (found.length === 0 && first !== undefined) {
    throw MqError.of('IMPORTANCE_MISMATCH', { tensor: first.name, problem: `${path} has no tensor of this model` })
  }
  checkModel(path, importance.keys(), model)
  const layers = tensors.filter(({ keepF32, layer }) => !keepF32 && layer !== undefined)
  const missing = layers.filter(({ name }) => !importance.has(name)).length
  return {
    importance: (name) => importance.get(name),
    notes:
      missing === 0 ? [] : [`The importance matrix has no entry for ${missing} of the ${layers.length} matrices in the layers.`],
  }
}
