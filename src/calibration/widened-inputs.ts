import { placeRows } from '../covariance/index.js'
import type { Importance, InputCovariances } from '../engine/index.js'
import type { Blueprint, BlueprintTensor } from '../model/index.js'
import { elementCount, rowLength } from '../recipe/index.js'

/** An importance matrix of a model, for the same model with wider rows: nothing depends on the columns that are added. */
export function widenedImportance(importance: Importance, { tensors }: Pick<Blueprint, 'tensors'>): Importance {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]))
  return (name) => {
    const values = importance(name)
    const tensor = byName.get(name)
    if (values === undefined || tensor?.columns === undefined) return values
    return placeRows(values, modelColumns(tensor.columns), tensor.columns, rowLength(tensor))
  }
}

/** What a calibration of a model says of the same model with wider rows: covariances with zeros for the columns that are added. */
export function widenedInputs<Inputs extends InputCovariances>(inputs: Inputs, blueprint: Pick<Blueprint, 'tensors'>): Inputs {
  const places = new Map<string, { readonly runs: readonly number[]; readonly columns: number }>()
  for (const tensor of blueprint.tensors) {
    if (tensor.columns === undefined) continue
    for (const key of inputKeys(inputs, tensor)) places.set(key, { runs: tensor.columns, columns: rowLength(tensor) })
  }
  const { digest, fromWeights } = inputs
  return {
    ...inputs,
    digest,
    fromWeights,
    importance: widenedImportance((name) => inputs.importance(name), blueprint),
    inputOf: (tensor: string, matrix: number) => inputs.inputOf(tensor, matrix),
    rankOf: (input: string) => inputs.rankOf(input),
    source: async (input: string) => {
      const source = await inputs.source(input)
      const place = places.get(input)
      return place === undefined ? source : { kind: 'placed', source, ...place }
    },
    heldOut: async (input: string) => {
      const rows = await inputs.heldOut(input)
      const place = places.get(input)
      return place === undefined ? rows : placeRows(rows, modelColumns(place.runs), place.runs, place.columns)
    },
  }
}

/** Columns before zeros were added. */
function modelColumns(runs: readonly number[]): number {
  return runs.reduce((sum, value, at) => (at % 3 === 2 ? sum + value : sum), 0)
}

function inputKeys(inputs: InputCovariances, { name, shape }: BlueprintTensor): Set<string> {
  const matrices = elementCount(shape.slice(0, -2))
  return new Set(Array.from({ length: matrices }, (_, matrix) => inputs.inputOf(name, matrix)).filter((key) => key !== undefined))
}
