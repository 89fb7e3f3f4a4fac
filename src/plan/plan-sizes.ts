import { fitsRow, type GgmlTypeName, ggmlBytes, ggmlType } from '../../formats/ggml/types.js'
import { elementCount } from '../recipe/index.js'
import type { Plan, PlanTensor } from './plan.js'

/** What is wrong with a tensor of this shape stored in this type; undefined where nothing is. */
export function tensorProblem(shape: readonly number[], type: GgmlTypeName): string | undefined {
  const elements = elementCount(shape)
  if (!Number.isSafeInteger(8 * elements)) return `its shape ${shape.join(' x ')} is too large`
  const rowLength = shape.at(-1) ?? 1
  return fitsRow(type, rowLength)
    ? undefined
    : `rows of ${rowLength} values cannot be stored as ${type}, whose blocks hold ${ggmlType(type).blockSize}`
}

/** The only constructor of plans: computes sizes and bits per weight from shapes and types, which tensorProblem has checked. */
export function planOf(head: Omit<Plan, 'bitsPerWeight' | 'dataBytes' | 'tensors'>, tensors: readonly PlanLine[]): Plan {
  const { version, architecture, goal, request, fileType, widths, smoothing, adapters, calibration, notes } = head
  const sized = tensors.map(sizedTensor)
  const dataBytes = sized.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const elements = sized.reduce((sum, { shape, modelElements = elementCount(shape) }) => sum + modelElements, 0)
  const bitsPerWeight = (8 * dataBytes) / elements
  return {
    version,
    architecture,
    goal,
    request,
    fileType,
    bitsPerWeight,
    widths,
    smoothing,
    dataBytes,
    ...(adapters !== undefined && { adapters }),
    calibration,
    notes,
    tensors: sized,
  }
}

/** A tensor's line before its size is known. */
export type PlanLine = Omit<PlanTensor, 'sizeBytes'>

function sizedTensor({ name, role, layer, shape, modelElements, type, relativeError, damping, reason }: PlanLine): PlanTensor {
  return {
    name,
    role,
    layer,
    shape,
    modelElements,
    type,
    sizeBytes: ggmlBytes(type, elementCount(shape)),
    relativeError,
    damping,
    reason,
  }
}
