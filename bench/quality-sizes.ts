import type { Blueprint } from '../src/model/blueprint.js'
import { knownPresets, planPreset } from '../src/plan/allocate/index.js'
import { elementsOf } from './quality-lab.js'

/** A size to compare at: that of a preset, a number of bits per weight, or that of the mixture alone. */
export interface ComparedSize {
  readonly name: string
  readonly bits?: number
  /** llama.cpp's preset of this size; for bits the least that is not smaller. */
  readonly preset?: string
  /** The mixture in samples/mixtures that is compared at about this size. */
  readonly mixture: string
}

export const comparedSizes: readonly ComparedSize[] = [
  { name: 'Q4_K_M', preset: 'Q4_K_M', mixture: 'unsloth-style-5.0' },
  { name: 'Q3_K_M', preset: 'Q3_K_M', mixture: 'unsloth-style-4.0' },
  { name: 'UD-Q2_K_XL', mixture: 'unsloth-q2_k_xl' },
  { name: 'IQ3_XXS', preset: 'IQ3_XXS', mixture: 'unsloth-style-3.5' },
  { name: '3.5', bits: 3.5, mixture: 'unsloth-style-3.5' },
  { name: 'Q2_K', preset: 'Q2_K', mixture: 'unsloth-style-3.25' },
  { name: 'IQ2_M', preset: 'IQ2_M', mixture: 'unsloth-style-3.0' },
  { name: '3.0', bits: 3, mixture: 'unsloth-style-3.0' },
  { name: 'IQ2_XXS', preset: 'IQ2_XXS', mixture: 'unsloth-style-2.5' },
  { name: '2.51', bits: 2.51, mixture: 'unsloth-style-2.5' },
]

/** Presets for models that were trained in their types: no rivals at their size. */
const forTrainedModels = /^(?:TQ|Q[12]_0$|MXFP4)/

/** The preset that a size is compared with in a model, and the most bytes of tensors that others may have. */
export function presetAt(
  blueprint: Blueprint,
  { preset, bits }: ComparedSize,
): { preset: string; dataBytes: number } | undefined {
  const bytesOf = (name: string): number => planPreset(blueprint, name, { importance: true }).dataBytes
  if (preset !== undefined) return { preset, dataBytes: bytesOf(preset) }
  if (bits === undefined) return undefined
  const dataBytes = Math.floor((bits * elementsOf(blueprint)) / 8)
  const large = knownPresets()
    .filter((name) => !forTrainedModels.test(name))
    .map((name) => ({ name, bytes: bytesOf(name) }))
    .filter(({ bytes }) => bytes >= dataBytes)
    .toSorted((a, b) => a.bytes - b.bytes)
  return large[0] === undefined ? undefined : { preset: large[0].name, dataBytes }
}
