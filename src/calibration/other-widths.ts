import { type Blueprint, grains, narrow, widen, widthsOfRows } from '../model/index.js'
import { rowLength } from '../recipe/index.js'

/** Sums of squares of the inputs of tensors, by name. */
export type InputSquares = ReadonlyMap<string, ArrayLike<number>>

/** The model with the widths that an importance matrix was measured with, and its relation to the given model. */
export interface OtherWidths {
  readonly measured: Blueprint
  /** widened: the given model has larger widths. narrowed: it has smaller ones. */
  readonly way: 'widened' | 'narrowed'
}

/**
 * The model that an importance matrix was measured with, if it is the given one with other widths: inputs of a widened file are zero in added
 * columns.
 * @param squares values of each tensor, those of all its matrices one after the other, or of one for all.
 * @returns undefined where the widths are the same, or no widths explain the file.
 */
export function otherWidths(squares: InputSquares, model: Blueprint): OtherWidths | undefined {
  if (fits(squares, model)) return undefined
  if (model.widened !== undefined) {
    const measured = narrow(model)
    return fits(squares, measured) ? { measured, way: 'widened' } : undefined
  }
  const lengths = new Map(
    model.tensors.flatMap(({ name, shape }) => {
      const values = squares.get(name)
      const matrices = shape.slice(0, -2).reduce((product, size) => product * size, 1)
      return values === undefined ? [] : [[name, values.length / matrices] as const]
    }),
  )
  const widths = widthsOfRows(model, lengths)
  if (widths === undefined) return undefined
  for (const grain of grains) {
    const measured = widenedOrNot(model, widths, grain)
    if (measured !== undefined && fits(squares, measured) && hasZeros(squares, measured)) return { measured, way: 'narrowed' }
  }
  return undefined
}

function widenedOrNot(...given: Parameters<typeof widen>): Blueprint | undefined {
  try {
    return widen(...given)
  } catch {
    return undefined
  }
}

function fits(squares: InputSquares, { tensors }: Blueprint): boolean {
  return tensors.every((tensor) => {
    const values = squares.get(tensor.name)
    const [columns, matrices] = [rowLength(tensor), tensor.shape.slice(0, -2).reduce((product, size) => product * size, 1)]
    return values === undefined || values.length === columns || values.length === columns * matrices
  })
}

/** Whether the inputs of added columns are zero. Outputs of added heads equal those of others and are not checked. */
function hasZeros(squares: InputSquares, { tensors }: Blueprint): boolean {
  return tensors.every((tensor) => {
    const values = squares.get(tensor.name)
    if (values === undefined || tensor.columns === undefined || tensor.name.includes('attn_output')) return true
    const isModels = new Uint8Array(rowLength(tensor))
    for (let at = 0; at < tensor.columns.length; at += 3) {
      const [to, count] = [tensor.columns[at + 1] as number, tensor.columns[at + 2] as number]
      isModels.fill(1, to, to + count)
    }
    for (let at = 0; at < values.length; at++) if (isModels[at % isModels.length] === 0 && values[at] !== 0) return false
    return true
  })
}
