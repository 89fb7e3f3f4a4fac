import { fitsRow, ggmlBytes } from '../../../formats/ggml/types.js'
import { groupBy } from '../../collections/index.js'
import type { Blueprint, BlueprintTensor } from '../../model/index.js'
import { elementCount, rowLength } from '../../recipe/index.js'
import { goalText, type PlanGoal } from '../goal.js'
import type { Plan } from '../plan.js'
import { planOf } from '../plan-sizes.js'
import type { Assignment } from './assignment.js'
import { fileTypeOf } from './file-type.js'
import { wideningAdvice } from './widening-advice.js'

interface Heading {
  readonly goal: PlanGoal
  /** By default the number of the type that holds the most weights. */
  readonly fileType?: number
  readonly notes: readonly string[]
}

/** A plan from a choice for each tensor of the blueprint, in its order; it notes how many tensors could not have the type they were to. */
export function assemblePlan(
  blueprint: Blueprint,
  assign: (tensor: BlueprintTensor) => Assignment,
  { goal, fileType, notes }: Heading,
): Plan {
  const { architecture, adapters, tensors } = blueprint
  const assigned = tensors.map(assign)
  const lines = tensors.map(({ name, role, layer, shape, modelElements }, index) => {
    const { type, reason, relativeError } = assigned[index] as Assignment
    return { name, role, layer, shape, modelElements, type, relativeError, reason }
  })
  const head = {
    version: 1,
    architecture,
    goal: goalText(goal),
    request: goal,
    fileType: fileType ?? fileTypeOf(lines),
    ...(adapters !== undefined && { adapters }),
    notes: [...notes, ...widthNotes(blueprint, assigned)],
  } as const
  return planOf(head, lines)
}

/** A note for each type that tensors could not have, as llama-quantize warns, and what helps. */
function widthNotes(blueprint: Blueprint, assigned: readonly Assignment[]): string[] {
  const missed = assigned.filter(({ wanted }) => wanted !== undefined)
  if (missed.length === 0) return []
  const notes = [...groupBy(missed, ({ wanted, type }) => `${wanted} and got ${type}`)].map(
    ([types, ofTypes]) => `${ofTypes.length} of ${assigned.length} tensors have rows that are not whole blocks of ${types}.`,
  )
  const narrow = blueprint.tensors.filter((_, index) => assigned[index]?.wanted !== undefined)
  const { text: widths, model } = wideningAdvice(blueprint, narrow)
  if (widths === '') return notes
  const change = Math.round(100 * (bytesAs(model, assigned) / bytesAs(blueprint, assigned) - 1))
  const size = change === 0 ? 'of about the same size' : `about ${Math.abs(change)} % ${change > 0 ? 'larger' : 'smaller'}`
  return [...notes, `Widen ${widths} with zeros to make their rows whole blocks, in a file ${size}: docs/widening.md.`]
}

/** Bytes of a form of the model with the assigned types: those that were requested, where they fit its rows. */
function bytesAs({ tensors }: Blueprint, assigned: readonly Assignment[]): number {
  return tensors.reduce((sum, tensor, index) => {
    const { type, wanted = type } = assigned[index] as Assignment
    return sum + ggmlBytes(fitsRow(wanted, rowLength(tensor)) ? wanted : type, elementCount(tensor.shape))
  }, 0)
}

/** Weights of all tensors, as bits per weight are counted over: zeros that widen a model are none. */
export function countElements(tensors: readonly BlueprintTensor[]): number {
  return tensors.reduce((sum, { shape, modelElements = elementCount(shape) }) => sum + modelElements, 0)
}
