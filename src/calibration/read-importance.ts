import type { Importance } from '../engine/index.js'
import { MqError } from '../errors/index.js'
import type { Blueprint } from '../model/index.js'
import { elementCount, rowLength } from '../recipe/index.js'
import { checkModel } from './check-model.js'
import { readMatrix } from './read-matrix.js'
import { shrunkMeanSquares } from './shrink.js'

/** What an importance matrix says of a model. */
export interface ModelImportance {
  readonly importance: Importance
  /** Things the user should know. */
  readonly notes: readonly string[]
}

/**
 * Reads an importance matrix, in either of llama.cpp's forms, and checks it against a model before anything is made with it. Experts
 * that saw few tokens take after their siblings.
 * @throws MqError IMPORTANCE_MISMATCH, CALIBRATION_MISMATCH where it is of another model, FILE_MISSING and the like; FormatError IMATRIX_INVALID, GGUF_INVALID,
 *   INPUT_TRUNCATED.
 */
export async function readImportance(path: string, model: Pick<Blueprint, 'architecture' | 'tensors'>): Promise<ModelImportance> {
  const { tensors } = model
  const { entries } = await readMatrix(path)
  const importance = new Map([...entries].map(([name, entry]) => [name, shrunkMeanSquares(entry)]))
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
