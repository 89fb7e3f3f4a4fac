import { measure as measureTypes } from '../engine/index.js'
import type { BlueprintTensor } from '../model/index.js'
import type { Measure, TypeErrors } from './allocate/index.js'

/**
 * Measures each tensor and type once for several forms of one model, such as widened ones, which share many tensors.
 * @param measure measures the missing ones.
 */
export function sharedMeasure(measure: Measure = measureTypes): Measure {
  const known = new Map<string, Map<string, ErrorOfType>>()
  return async function* (options) {
    const tensors = new Map(options.blueprint.tensors.map((tensor) => [tensor.name, tensor]))
    const ofTensor = (name: string): Map<string, ErrorOfType> => {
      const key = keyOf(tensors.get(name) as BlueprintTensor)
      const errors = known.get(key) ?? new Map<string, ErrorOfType>()
      known.set(key, errors)
      return errors
    }
    const found = new Map(options.requests.map(({ tensor }) => [tensor, ofTensor(tensor)]))
    const missing = options.requests
      .map(({ tensor, types }) => ({ tensor, types: types.filter((type) => found.get(tensor)?.has(type) !== true) }))
      .filter(({ types }) => types.length > 0)
    if (missing.length > 0) {
      const measured = yield* measure({ ...options, requests: missing })
      for (const [name, errors] of measured) for (const [type, error] of errors) found.get(name)?.set(type, error)
    }
    return found as TypeErrors
  }
}

type ErrorOfType = NonNullable<ReturnType<NonNullable<ReturnType<TypeErrors['get']>>['get']>>

/** Key of the errors of a tensor; the importance and covariance of its inputs are the same in all forms. */
function keyOf({ name, recipe }: BlueprintTensor): string {
  return `${name} ${JSON.stringify(recipe)}`
}
