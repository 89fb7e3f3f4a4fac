import { type GgmlTypeName, ggmlType } from '../../../formats/ggml/types.js'
import type { BlueprintTensor } from '../../model/index.js'
import { rowLength } from '../../recipe/index.js'
import { type TensorTypeOverride, typeOrFallback } from './tensor-types.js'

/** The type assigned to one tensor. */
export interface Assignment {
  readonly type: GgmlTypeName
  /** The requested type, where the tensor's rows are not whole blocks of it and `type` is its fallback. */
  readonly wanted?: GgmlTypeName
  readonly reason: string
  readonly relativeError?: number
}

/** The type of a tensor that leaves nothing to choose: always F32, or set by the user by name; undefined for other tensors. */
export function fixedType(tensor: BlueprintTensor, overrides?: ReadonlyMap<string, TensorTypeOverride>): Assignment | undefined {
  if (tensor.storedType === 'I32') return { type: 'I32', reason: 'A table of whole numbers, which has no other type.' }
  if (tensor.keepF32) return { type: 'F32', reason: 'Always F32, like all norms, biases, routers and vectors.' }
  const override = overrides?.get(tensor.name)
  return override && withFallback(override.type, tensor, `Set by name, ${override.spec}`)
}

/** As `withFallback`, but the type in which the checkpoint stores the tensor, where that has no more bits per weight. */
export function storedOrFallback(wanted: GgmlTypeName, tensor: BlueprintTensor, reason: string): Assignment {
  const { storedType: type } = tensor
  const assignment = withFallback(wanted, tensor, reason)
  if (type === undefined || ggmlType(type).bitsPerWeight > ggmlType(assignment.type).bitsPerWeight) return assignment
  return { type, reason: `Copied bit for bit: the checkpoint stores it as ${type}.` }
}

/**
 * The requested type, or its fallback where the tensor's rows are not whole blocks of it.
 * @param reason a sentence without its full stop.
 */
export function withFallback(wanted: GgmlTypeName, tensor: BlueprintTensor, reason: string): Assignment {
  const type = typeOrFallback(wanted, tensor)
  if (type === wanted) return { type, reason: `${reason}.` }
  return {
    type,
    wanted,
    reason: `${reason}; rows of ${rowLength(tensor)} values are no multiple of the block size of ${wanted}, so this is the fallback.`,
  }
}
