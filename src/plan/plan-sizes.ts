import { fitsRow, type GgmlTypeName, ggmlBytes, ggmlType } from '../../formats/ggml/types.js'
import type { Plan, PlanTensor } from './plan.js'

/** What is wrong with a tensor of this shape stored in this type; undefined where nothing is. */
export function tensorProblem(shape: readonly number[], type: GgmlTypeName): string | undefined {
  const elements = elementsOf(shape)
  if (!Number.isSafeInteger(8 * elements)) return `its shape ${shape.join(' x ')} is too large`
  const rowLength = shape.at(-1) ?? 1
  return fitsRow(type, rowLength)
    ? undefined
    : `rows of ${rowLength} values cannot be stored as ${type}, whose blocks hold ${ggmlType(type).blockSize}`
}

/** A plan with its sizes worked out from shapes and types, which tensorProblem has found good. */
export function planOf(
  head: Pick<Plan, 'version' | 'architecture' | 'goal' | 'fileType' | 'notes'> & { readonly calibration?: string | undefined },
  tensors: readonly PlanLine[],
): Plan {
  const { version, architecture, goal, fileType, calibration, notes } = head
  const sized = tensors.map(sizedTensor)
  const dataBytes = sized.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const elements = sized.reduce((sum, { shape }) => sum + elementsOf(shape), 0)
  const bitsPerWeight = (8 * dataBytes) / elements
  const given = calibration === undefined ? {} : { calibration }
  return { version, architecture, goal, fileType, bitsPerWeight, dataBytes, ...given, notes, tensors: sized }
}

/** A tensor's line before its size is known; what is optional may be undefined, as parsed files have it. */
type PlanLine = Pick<PlanTensor, 'name' | 'role' | 'shape' | 'type' | 'reason'> & {
  readonly layer?: number | undefined
  readonly relativeError?: number | undefined
  readonly damping?: number | undefined
}

function sizedTensor({ name, role, layer, shape, type, relativeError, damping, reason }: PlanLine): PlanTensor {
  return {
    name,
    role,
    layer,
    shape,
    type,
    sizeBytes: ggmlBytes(type, elementsOf(shape)),
    relativeError,
    damping,
    reason,
  }
}

function elementsOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}
