import { MqError } from '../../errors/index.js'
import { names } from './base.js'
import { count, countOrNone, type ModelConfig, type MtpExport } from './config.js'
import { uint32 } from './metadata.js'
import { linear, norm, type TensorMapping, tensor } from './tensor-mappings.js'
import type { Entry, Family } from './types.js'

/**
 * How many layers for multi-token prediction the output holds: those of the checkpoint unless they are to be left out.
 * @param stored how many the checkpoint holds.
 * @throws MqError OPTION_INVALID where they alone are asked for, and there are none.
 */
export function predictionLayers({ mtp }: Pick<ModelConfig, 'mtp'>, stored: number): number {
  if (mtp === 'only' && stored === 0) {
    throw MqError.of('OPTION_INVALID', {
      option: 'mtp',
      value: mtp,
      problem: 'the checkpoint holds no layers for multi-token prediction',
    })
  }
  return mtp === 'without' ? 0 : stored
}

/**
 * How many layers for multi-token prediction stand behind the others, as num_nextn_predict_layers counts them. transformers keeps the number
 * when it saves a model, and not the layers: where there are none, the user is told.
 * @param from what the names of their tensors begin with; by default `layers.N.`, where N is the number of the other layers.
 * @throws MqError CONFIG_INVALID where the number is none.
 */
export function countedPredictions(config: ModelConfig, from?: string): number {
  const field = 'num_nextn_predict_layers'
  const counted = config.find(countOrNone, field) ?? 0
  const first = from ?? `layers.${config.get(count, ...names.layers)}.`
  const { names: stored } = config.checkpoint
  if (counted === 0 || stored.some((name) => name.startsWith(first) || name.includes(`.${first}`))) return counted
  const note = `config.json has ${field} ${counted}, and the checkpoint has no layers for multi-token prediction: the file has none.`
  if (config.mtp === 'with' && !config.notes.includes(note)) config.notes.push(note)
  return 0
}

/** The key that counts layers for multi-token prediction; none where config.json does not, or they are left out. @throws MqError CONFIG_INVALID. */
export function predictionCount(config: ModelConfig): Entry[] {
  const isCounted = config.find(countOrNone, 'num_nextn_predict_layers') !== undefined
  return config.mtp === 'without' || !isCounted ? [] : [['nextn_predict_layers', uint32(countedPredictions(config))]]
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
