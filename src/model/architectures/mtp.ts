import { MqError } from '../../errors/index.js'
import { names } from './base.js'
import { count, type ModelConfig, type MtpExport } from './config.js'
import { linear, norm, type TensorMapping, tensor } from './tensor-mappings.js'
import type { Family } from './types.js'

/**
 * How many layers for multi-token prediction the output holds: those of the checkpoint unless they are to be left out.
 * @param stored how many the checkpoint holds.
 */
export function predictionLayers({ mtp }: Pick<ModelConfig, 'mtp'>, stored: number): number {
  return mtp === 'without' ? 0 : stored
}

/** @throws MqError OPTION_INVALID where the family's layers for multi-token prediction are not to be had apart. */
export function checkMtp({ architecture, quirks = {} }: Family, mtp: MtpExport): void {
  if (mtp === 'with' || quirks.separableMtp === true) return
  const problem = `models of the architecture ${architecture} have no layers for multi-token prediction that could be left out or converted alone`
  throw MqError.of('OPTION_INVALID', { option: 'mtp', value: mtp, problem })
}

/** Why a tensor is left out, by the name that the family knows it by; undefined where it belongs to what is asked for. */
export function leaveOutMtp(config: ModelConfig, name: string): string | undefined {
  if (config.mtp === 'with') return undefined
  const layer = /^model\.layers\.(\d+)\./.exec(name)?.[1]
  const predicts = layer !== undefined && Number(layer) >= config.get(count, ...names.layers)
  if (config.mtp === 'without') return predicts ? 'of layers for multi-token prediction' : undefined
  return layer === undefined || predicts ? undefined : 'of the layers before those for multi-token prediction'
}

/** What a layer for multi-token prediction (NextN) has besides those of any other: how it takes in the last token, and its own ends. */
export function predictionTensors(hidden: number, vocabulary: number): TensorMapping[] {
  return [
    ...linear('eh_proj', 'nextn.eh_proj', [hidden, 2 * hidden], { bias: false }),
    norm('enorm', 'nextn.enorm', hidden),
    norm('hnorm', 'nextn.hnorm', hidden),
    norm('shared_head.norm', 'nextn.shared_head_norm', hidden),
    tensor('embed_tokens.weight', 'nextn.embed_tokens.weight', [vocabulary, hidden], { optional: true }),
    tensor('shared_head.head.weight', 'nextn.shared_head_head.weight', [vocabulary, hidden], { optional: true }),
  ]
}
