import type { Importance, InputCovariances } from '../engine/index.js'
import { type Blueprint, type Smoothing, smoothable } from '../model/index.js'
import { elementCount, exponentsOf } from '../recipe/index.js'

/** The importance matrix of a model, converted for its smoothed form. @param model before smoothing. */
export function smoothedImportance(
  importance: Importance,
  model: Pick<Blueprint, 'architecture' | 'tensors'>,
  smoothing: Smoothing,
): Importance {
  const powers = powersByReader(model, smoothing)
  return (name) => {
    const values = importance(name)
    const exponents = powers.get(name)
    if (values === undefined || exponents === undefined) return values
    return values.map((value, at) => value * 4 ** -(exponents[at % exponents.length] as number))
  }
}

/** The input covariances of a model, converted for its smoothed form. @param model before smoothing. */
export function smoothedInputs<Inputs extends InputCovariances>(
  inputs: Inputs,
  model: Pick<Blueprint, 'architecture' | 'tensors'>,
  smoothing: Smoothing,
): Inputs {
  const byReader = powersByReader(model, smoothing)
  const byKey = new Map<string, Int8Array>()
  for (const { name, shape } of model.tensors) {
    const exponents = byReader.get(name)
    if (exponents === undefined) continue
    for (let matrix = 0; matrix < elementCount(shape.slice(0, -2)); matrix += 1) {
      const key = inputs.inputOf(name, matrix)
      if (key !== undefined) byKey.set(smoothed(key), exponents)
    }
  }
  const own = (key: string): string => (byKey.has(key) ? key.slice(0, -suffix.length) : key)
  const { digest, fromWeights } = inputs
  return {
    ...inputs,
    digest,
    fromWeights,
    importance: smoothedImportance((name) => inputs.importance(name), model, smoothing),
    inputOf: (tensor: string, matrix: number) => {
      const key = inputs.inputOf(tensor, matrix)
      return key !== undefined && byReader.has(tensor) ? smoothed(key) : key
    },
    rankOf: (key: string) => inputs.rankOf(own(key)),
    source: async (key: string) => {
      const source = await inputs.source(own(key))
      const exponents = byKey.get(key)
      return exponents === undefined ? source : { kind: 'scaled', source, exponents }
    },
    heldOut: async (key: string) => {
      const rows = await inputs.heldOut(own(key))
      const exponents = byKey.get(key)
      return exponents === undefined ? rows : rows.map((value, at) => value * 2 ** -(exponents[at % exponents.length] as number))
    },
  }
}

/** Prepared data is cached by the key of its input: smoothed inputs have keys of their own. */
const suffix = ' scaled'
const smoothed = (key: string): string => `${key}${suffix}`

/** Exponents of the scales, by the tensors that read the scaled vector. */
function powersByReader(
  model: Pick<Blueprint, 'architecture' | 'tensors'>,
  smoothing: Smoothing,
): ReadonlyMap<string, Int8Array> {
  return new Map(
    smoothable(model).flatMap(({ writer, readers }) => {
      const powers = smoothing[writer.name]
      return powers === undefined ? [] : readers.map(({ name }) => [name, exponentsOf(powers)] as const)
    }),
  )
}
