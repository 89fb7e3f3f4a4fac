import type { GgmlTypeName } from '../../../formats/ggml/types.js'
import { type FileTypeName, fileTypes } from '../../../formats/gguf/index.js'
import { elementCount } from '../../recipe/index.js'
import type { PlanTensor } from '../plan.js'
import { presetNames, presets } from './presets.js'

/** Presets whose number stands for a mix in which their type prevails, where several share the type. */
const mostlyNames: Partial<Record<GgmlTypeName, FileTypeName>> = {
  IQ2_XS: 'IQ2_XS',
  IQ3_S: 'IQ3_S',
  Q2_K: 'Q2_K',
  Q3_K: 'Q3_K_M',
  Q4_K: 'Q4_K_M',
  Q5_K: 'Q5_K_M',
  Q8_0: 'Q8_0',
}

/** llama.cpp's number (enum llama_ftype) for a mix: that of the preset whose type holds the most weights. */
export function fileTypeOf(tensors: readonly Pick<PlanTensor, 'type' | 'shape'>[]): number {
  const weights = new Map<GgmlTypeName, number>()
  for (const { type, shape } of tensors) weights.set(type, (weights.get(type) ?? 0) + elementCount(shape))
  const [prevailing] = [...weights].reduce((most, entry) => (entry[1] > most[1] ? entry : most), ['F32', 0] as [
    GgmlTypeName,
    number,
  ])
  const name = mostlyNames[prevailing] ?? presetNames.find((preset) => presets[preset]?.type === prevailing)
  return fileTypes[name ?? 'F32']
}
