import { type GgmlTypeName, ggmlType } from '../../../formats/ggml/types.js'
import type { BlueprintTensor } from '../../model/index.js'
import { rowLength } from '../../recipe/index.js'
import { fittingType, type TensorTypeOverride } from './tensor-types.js'

/** What was chosen for one tensor. */
export interface Assignment {
  readonly type: GgmlTypeName
  /** The type that was wanted, where the tensor's rows are not whole blocks of it. */
  readonly wanted?: GgmlTypeName
  readonly reason: string
  readonly relativeError?: number
}

/** The type of tensors without a choice: always F32, or set by the user by name; undefined for the others. */
export function settledType(
  tensor: BlueprintTensor,
  overrides?: ReadonlyMap<string, TensorTypeOverride>,
): Assignment | undefined {
  if (tensor.storedType === 'I32') return { type: 'I32', reason: 'A table of whole numbers, which has no other type.' }
  if (tensor.keepF32) return { type: 'F32', reason: 'Always F32, like all norms, biases, routers and vectors.' }
  const override = overrides?.get(tensor.name)
  return override && fitted(override.type, tensor, `Set by name, ${override.spec}`)
}

/** As `fitted`, but the type in which the checkpoint has the tensor where that has no more bits. */
export function keptOrFitted(wanted: GgmlTypeName, tensor: BlueprintTensor, reason: string): Assignment {
  const { storedType: type } = tensor
  const assignment = fitted(wanted, tensor, reason)
  if (type === undefined || ggmlType(type).bitsPerWeight > ggmlType(assignment.type).bitsPerWeight) return assignment
  return { type, reason: `Copied bit for bit: the checkpoint stores it as ${type}.` }
}

/** The type that is wanted, or the nearest that the tensor's rows are whole blocks of. @param reason a sentence without its full stop. */
export function fitted(wanted: GgmlTypeName, tensor: BlueprintTensor, reason: string): Assignment {
  const type = fittingType(wanted, tensor)
  if (type === wanted) return { type, reason: `${reason}.` }
  return {
    type,
    wanted,
    reason: `${reason}; rows of ${rowLength(tensor)} values are no multiple of the block size of ${wanted}, so this is the fallback.`,
  }
}
