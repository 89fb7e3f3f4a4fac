import { describeQuantization } from './describe.js'
import type { StorageContext, StorageKind } from './types.js'

/**
 * Weights as they are, in a floating-point type. A quantization_config that a merge or an export has left behind is passed over where
 * every matrix is such a weight: other storages have been recognised by their tensors before.
 */
export const plain: StorageKind = {
  name: 'plain',
  open(context) {
    const { stored } = context
    const leftOver = leftOverNote(context)
    if (leftOver === undefined) return undefined
    return {
      names: stored.names,
      shapeOf: (name) => stored.get(name)?.shape,
      tensor: (name) => stored.floats(name),
      notes: leftOver,
    }
  },
}

/** Types that a quantization leaves alone, and that training uses. */
const trained: ReadonlySet<string | undefined> = new Set(['F64', 'F32', 'F16', 'BF16'])

/** Undefined where config.json speaks of a quantization and not all matrices are plain. */
function leftOverNote({ stored, quantization, sectionFile }: StorageContext): readonly string[] | undefined {
  const matrices = stored.names.map((name) => stored.get(name)).filter((tensor) => (tensor?.shape.length ?? 0) > 1)
  if (quantization === undefined || Object.keys(quantization).length === 0)
    return unscaledNotes(matrices.map((tensor) => tensor?.dtype))
  if (matrices.length === 0 || !matrices.every((tensor) => trained.has(tensor?.dtype))) return undefined
  const types = [...new Set(matrices.map((tensor) => tensor?.dtype))].join(', ')
  const said = describeQuantization(quantization)
  return [
    `${sectionFile} says that the weights are quantized (${said}), but all of them are plain ${types}: they are taken as they are.`,
  ]
}

/** A note on 8-bit floats that nothing scales. */
function unscaledNotes(dtypes: readonly (string | undefined)[]): readonly string[] {
  const small = dtypes.filter((dtype) => dtype?.startsWith('F8_'))
  if (small.length === 0) return []
  const types = [...new Set(small)].join(', ')
  return [
    `${small.length} of ${dtypes.length} matrices are ${types} without scales or a quantization_config: their values are taken as they are.`,
  ]
}
