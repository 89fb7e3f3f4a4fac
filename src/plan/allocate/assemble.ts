import { type GgmlTypeName, ggmlBytes } from '../../../formats/ggml/types.js'
import type { Blueprint, BlueprintTensor } from '../../model/index.js'
import { elementCount } from '../../recipe/index.js'
import type { Plan, PlanTensor } from '../plan.js'
import { fileTypeOf } from './file-type.js'

/** What was chosen for one tensor. */
export interface Assignment {
  readonly type: GgmlTypeName
  readonly reason: string
  readonly relativeError?: number
}

interface Heading {
  readonly goal: string
  /** By default the number of the type that holds the most weights. */
  readonly fileType?: number
  readonly notes: readonly string[]
}

/** A plan from a choice for each tensor of the blueprint, in its order. */
export function assemblePlan(
  { architecture, tensors }: Blueprint,
  assign: (tensor: BlueprintTensor) => Assignment,
  { goal, fileType, notes }: Heading,
): Plan {
  const lines = tensors.map((tensor): PlanTensor => {
    const { name, role, layer, shape } = tensor
    const { type, reason, relativeError } = assign(tensor)
    return {
      name,
      role,
      layer,
      shape,
      type,
      sizeBytes: ggmlBytes(type, elementCount(shape)),
      relativeError,
      reason,
    }
  })
  const dataBytes = lines.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  return {
    version: 1,
    architecture,
    goal,
    fileType: fileType ?? fileTypeOf(lines),
    bitsPerWeight: (8 * dataBytes) / countElements(tensors),
    dataBytes,
    tensors: lines,
    notes,
  }
}

/** Weights of all tensors, as bits per weight are counted over. */
export function countElements(tensors: readonly BlueprintTensor[]): number {
  return tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0)
}

/** Why a tensor that `keepF32` holds for has its type. */
export const keptReason = 'Always F32: small, and every value counts.'

/** `goal` of a plan: the flags that it answers. */
export function goalOf(flag: string, overrides: readonly { readonly spec: string }[]): string {
  return [flag, ...overrides.map(({ spec }) => `--tensor-type ${spec}`)].join(' ')
}
