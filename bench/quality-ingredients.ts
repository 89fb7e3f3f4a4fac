import { foreign } from './foreign.js'
import { labs, type QualityOptions } from './quality.js'
import type { QualityFile, QualityLab } from './quality-lab.js'
import { comparedSizes } from './quality-sizes.js'

/** What stands between llama-quantize's preset and `--bits` with a calibration, one thing after the other. */
export const ingredients = ['llama.cpp', 'kernels', 'kernels + feedback', 'kernels + allocation', 'all three'] as const
export type Ingredient = (typeof ingredients)[number]

/** Presets that are compared where no others are asked for. */
const usualPresets: readonly string[] = ['Q4_K_M', 'Q2_K', 'IQ2_XXS']

/** A file with some of the ingredients, no larger than the preset's, on one text. */
export interface IngredientRow {
  readonly sample: string
  readonly text: string
  /** The preset whose types or bytes it has. */
  readonly preset: string
  readonly ingredients: Ingredient
  readonly bytes: number
  readonly bitsPerWeight: number
  readonly kld: number
  readonly kldError: number
  readonly ppl: number
}

/**
 * What each ingredient gives, at the sizes of presets: our encoders in the same types, codes chosen with error feedback, and types chosen
 * under a budget of the same bytes.
 */
export async function* benchIngredients(options: QualityOptions = {}): AsyncGenerator<IngredientRow> {
  const { sizes = usualPresets, say = () => {} } = options
  if (!foreign.available) say(`llama.cpp is left out: ${foreign.name}`)
  for await (const lab of labs(options)) {
    for (const { name, preset } of comparedSizes) {
      if (preset === undefined || !sizes.includes(name)) continue
      for (const which of ingredients) {
        const file = await fileOf(lab, preset, which)
        if (file === undefined) continue
        const { bytes, bitsPerWeight } = file
        for (const [text, { kld, perplexity }] of await lab.predictions(file)) {
          const figures = { kld: kld.value, kldError: kld.standardError, ppl: perplexity.value }
          yield { sample: lab.sample, text, preset, ingredients: which, bytes, bitsPerWeight, ...figures }
        }
      }
    }
  }
}

async function fileOf(lab: QualityLab, preset: string, which: Ingredient): Promise<QualityFile | undefined> {
  switch (which) {
    case 'llama.cpp':
      return foreign.available ? await lab.theirs(preset) : undefined
    case 'kernels':
      return await lab.made(preset, { kind: 'preset', preset }, 'importance')
    case 'kernels + feedback':
      return await lab.made(preset, { kind: 'preset', preset }, 'calibration')
    case 'kernels + allocation':
    case 'all three': {
      const budget = await lab.made(preset, { kind: 'preset', preset }, 'importance')
      return await lab.fitted(budget, which === 'kernels + allocation' ? 'importance' : 'calibration')
    }
  }
}
