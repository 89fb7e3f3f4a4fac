import { multipliesRows, ownInputs, weightName } from './input-rows.js'
import { ggmlOperation } from './structs.js'
import type { NativeTensor } from './tensor.js'

/** An input of one or more weights. */
export interface SurveyedInput {
  readonly columns: number
  /** Matrices of the weights that take rows of their own. */
  readonly matrices: number
  /** Whether those are experts, which see few tokens each. */
  readonly routed: boolean
}

/** Maps the weights of a graph to their inputs. */
export interface InputSurvey {
  /** Weight -> name of its input: that of the first weight in the graph that takes it. */
  readonly inputOf: ReadonlyMap<string, string>
  readonly inputs: ReadonlyMap<string, SurveyedInput>
  /** Observes a node before it is computed. */
  look(node: NativeTensor): void
}

/** Surveys one graph, in which a tensor is at one address only. */
export function inputSurvey(): InputSurvey {
  const inputOf = new Map<string, string>()
  const inputs = new Map<string, SurveyedInput>()
  const keys = new Map<string, string>()
  return {
    inputOf,
    inputs,
    look(node) {
      if (!multipliesRows(node)) return
      const weight = weightName(node)
      const matrices = ownInputs(node)
      const [columns] = node.source(1).dimensions
      const place = `${originOf(node.source(1))} ${matrices} ${columns}`
      const key = keys.get(place) ?? weight
      keys.set(place, key)
      inputOf.set(weight, key)
      if (key === weight)
        inputs.set(key, { columns, matrices, routed: node.operation === ggmlOperation.MUL_MAT_ID && matrices > 1 })
    },
  }
}

/** Returns the address of the tensor that a reshape takes its values from. */
function originOf(tensor: NativeTensor): bigint {
  let origin = tensor
  while (origin.operation === ggmlOperation.RESHAPE) origin = origin.source(0)
  return origin.address
}
