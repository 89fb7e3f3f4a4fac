import { countKey } from './base.js'
import { listOf, type ModelConfig, word } from './config.js'
import type { Entry, FieldRule } from './types.js'

/** Every layer has a sliding window but each `step`th. */
export const windowPattern =
  (step: number): FieldRule =>
  (value) =>
    Array.isArray(value) &&
    value.every((type, layer) => type === ((layer + 1) % step === 0 ? 'full_attention' : 'sliding_attention'))

/** Layers with a window: for each, whether it has one. */
export function windowFlags(flags: readonly boolean[]): Entry {
  return ['attention.sliding_window_pattern', { type: 'array', elementType: 'bool', value: [...flags] }]
}

/** The window and the layers that have one, where config.json names both. @throws MqError CONFIG_INVALID. */
export function windowKeys(config: ModelConfig, layers: number, otherwise?: (layer: number) => boolean): Entry[] {
  const window = countKey(config, 'attention.sliding_window', 'sliding_window')
  if (window.length === 0) return []
  const types = config.find(listOf(word), 'layer_types')
  if (types !== undefined) return [...window, windowFlags(types.map((type) => type === 'sliding_attention'))]
  return otherwise === undefined
    ? window
    : [...window, windowFlags(Array.from({ length: layers }, (_, layer) => otherwise(layer)))]
}
