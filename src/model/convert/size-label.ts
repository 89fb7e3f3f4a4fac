import { elementCount, parameterCount, type Shape } from '../../recipe/index.js'

interface Sized {
  readonly name: string
  readonly shape: Shape
}

/**
 * The size of a model in words, as llama.cpp's converter writes it: `4.2M`; with experts their number and the size of the model with
 * one of each, `8x4.6M`. Source: gguf-py/gguf/utility.py and gguf_writer.py (get_total_parameter_count), v0.5.0.
 */
export function sizeLabel(tensors: readonly Sized[]): string {
  const stacked = tensors.filter(({ name, shape }) => name.includes('_exps.') && shape.length >= 3)
  if (stacked.length === 0) return rounded(parameterCount(tensors))
  const experts = Math.floor(stacked.reduce((sum, { shape }) => sum + (shape.at(-3) ?? 0), 0) / stacked.length)
  const ofOne = stacked.reduce((sum, { shape }) => sum + Math.floor(elementCount(shape) / (shape.at(-3) ?? 1)), 0)
  return `${experts}x${rounded(parameterCount(tensors) - parameterCount(stacked) + ofOne)}`
}

function rounded(parameters: number): string {
  const [scale, suffix] =
    parameters > 1e12 ? [1e-12, 'T'] : parameters > 1e9 ? [1e-9, 'B'] : parameters > 1e6 ? [1e-6, 'M'] : [1e-3, 'K']
  const value = parameters * scale
  const digits = value > 0.5 ? String(Math.round(value)).length : 0
  return `${value.toFixed(Math.max(2 - digits, 0))}${suffix}`
}
