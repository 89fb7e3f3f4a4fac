import { placeRows } from '../covariance/index.js'
import type { Importance, InputCovariances } from '../engine/index.js'
import { type Blueprint, type BlueprintTensor, reversed } from '../model/index.js'
import { elementCount, rowLength } from '../recipe/index.js'

/** The importance matrix of a model, converted for its widened form: added columns have importance 0. */
export function widenedImportance(importance: Importance, wide: Pick<Blueprint, 'tensors'>): Importance {
  return placedImportance(importance, placesOf(wide))
}

/** The importance matrix of a widened model, converted for the original one. */
export function narrowedImportance(importance: Importance, wide: Pick<Blueprint, 'tensors'>): Importance {
  return placedImportance(importance, narrowPlacesOf(wide))
}

/** The input covariances of a model, converted for its widened form, with zeros in added columns. */
export function widenedInputs<Inputs extends InputCovariances>(inputs: Inputs, wide: Pick<Blueprint, 'tensors'>): Inputs {
  return placedInputs(inputs, wide, placesOf(wide))
}

/** The input covariances of a widened model, converted for the original one. */
export function narrowedInputs<Inputs extends InputCovariances>(inputs: Inputs, wide: Pick<Blueprint, 'tensors'>): Inputs {
  return placedInputs(inputs, wide, narrowPlacesOf(wide))
}

/** Mapping of the columns of a tensor's inputs. */
interface Place {
  readonly runs: readonly number[]
  /** Before and after. */
  readonly from: number
  readonly columns: number
}

type Places = ReadonlyMap<string, Place>

function placesOf({ tensors }: Pick<Blueprint, 'tensors'>): Places {
  return new Map(
    tensors.flatMap((tensor) => {
      const { name, columns: runs } = tensor
      return runs === undefined ? [] : [[name, { runs, from: modelColumns(runs), columns: rowLength(tensor) }] as const]
    }),
  )
}

function narrowPlacesOf(wide: Pick<Blueprint, 'tensors'>): Places {
  return new Map(
    [...placesOf(wide)].map(([name, { runs, from, columns }]) => [name, { runs: reversed(runs), from: columns, columns: from }]),
  )
}

function placedImportance(importance: Importance, places: Places): Importance {
  return (name) => {
    const values = importance(name)
    const place = places.get(name)
    return values === undefined || place === undefined ? values : placeRows(values, place.from, place.runs, place.columns)
  }
}

function placedInputs<Inputs extends InputCovariances>(
  inputs: Inputs,
  { tensors }: Pick<Blueprint, 'tensors'>,
  ofTensors: Places,
): Inputs {
  const places = new Map<string, Place>()
  for (const tensor of tensors) {
    const place = ofTensors.get(tensor.name)
    if (place !== undefined) for (const key of inputKeys(inputs, tensor)) places.set(key, place)
  }
  const { digest, fromWeights } = inputs
  return {
    ...inputs,
    digest,
    fromWeights,
    importance: placedImportance((name) => inputs.importance(name), ofTensors),
    inputOf: (tensor: string, matrix: number) => inputs.inputOf(tensor, matrix),
    rankOf: (input: string) => inputs.rankOf(input),
    source: async (input: string) => {
      const source = await inputs.source(input)
      const place = places.get(input)
      return place === undefined ? source : { kind: 'placed', source, runs: place.runs, columns: place.columns }
    },
    heldOut: async (input: string) => {
      const rows = await inputs.heldOut(input)
      const place = places.get(input)
      return place === undefined ? rows : placeRows(rows, place.from, place.runs, place.columns)
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
