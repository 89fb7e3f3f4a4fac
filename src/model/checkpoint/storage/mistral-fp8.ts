import { blockScale, reshape } from '../../../recipe/index.js'
import { requireCount } from './modules.js'
import type { StorageKind } from './types.js'

const scaleSuffix = '.qscale_weight'
const activationSuffix = '.qscale_act'

/**
 * FP8 in Mistral's own form: NAME.weight and one scale for all of it, NAME.qscale_weight, beside a scale of activations that a conversion
 * does not need. value = f32(weight) * scale. Source: dequant_model of conversion/base.py, llama.cpp v0.7.0.
 */
export const mistralFp8: StorageKind = {
  name: 'FP8 of Mistral',
  open({ stored, quantization }) {
    const isMistral = quantization?.['quant_method'] === 'mistral' && quantization['qformat_weight'] === 'fp8_e4m3'
    if (!isMistral) return undefined
    return {
      names: stored.names.filter((name) => !name.endsWith(scaleSuffix) && !name.endsWith(activationSuffix)),
      shapeOf: (name) => stored.get(name)?.shape,
      tensor(name) {
        const weight = stored.floats(name)
        const scale = name.replace(/\.weight$/, scaleSuffix)
        if (stored.get(name)?.dtype.startsWith('F8_') !== true) return weight
        const [rows = 1, columns = 1] = weight.shape
        requireCount(stored, scale, 1)
        return blockScale(weight, reshape(stored.floats(scale), [1, 1]), rows, columns)
      },
      notes: [],
    }
  },
}
