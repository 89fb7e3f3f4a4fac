import { fitsRow, type GgmlTypeName, ggmlBytes } from '../../formats/ggml/types.js'
import type { Blueprint, BlueprintTensor } from '../model/index.js'
import { elementCount, rowCount, rowLength } from '../recipe/index.js'
import type { Plan, PlanTensor } from './plan.js'

/** Types that a whole model can be converted to without measuring, with their numbers in llama.cpp's enum llama_ftype. */
const fileTypes = { F32: 0, F16: 1, Q8_0: 7, BF16: 32 } as const

export type UniformType = keyof typeof fileTypes

/**
 * The plan of a plain conversion: every tensor in one type, but F32 where the model needs it and F16 where rows are not whole blocks.
 * The rules are those of llama.cpp's converter.
 */
export function planUniform(blueprint: Blueprint, type: UniformType): Plan {
  const tensors = blueprint.tensors.map((tensor) => planTensor(tensor, type))
  const dataBytes = tensors.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const elements = tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0)
  return {
    version: 1,
    architecture: blueprint.architecture,
    goal: `--type ${type.toLowerCase()}`,
    fileType: fileTypes[type],
    bitsPerWeight: (8 * dataBytes) / elements,
    dataBytes,
    tensors,
    notes: blueprint.notes,
  }
}

function planTensor({ name, role, layer, shape, keepF32 }: BlueprintTensor, asked: UniformType): PlanTensor {
  const [type, reason] = chooseType({ shape, keepF32 }, asked)
  return {
    name,
    role,
    layer,
    shape,
    type,
    sizeBytes: rowCount({ shape }) * ggmlBytes(type, rowLength({ shape })),
    reason,
  }
}

function chooseType({ shape, keepF32 }: Pick<BlueprintTensor, 'shape' | 'keepF32'>, asked: UniformType): [GgmlTypeName, string] {
  if (keepF32) return ['F32', 'The model needs it in full.']
  if (!fitsRow(asked, rowLength({ shape }))) return ['F16', `Its rows are not whole blocks of ${asked}.`]
  return [asked, `All weights are ${asked}.`]
}
