import { basename } from 'node:path'
import type { MetadataValue } from '../../../formats/gguf/index.js'
import type { Shape } from '../../recipe/index.js'
import { float32, text } from '../architectures/index.js'
import type { Checkpoint } from '../checkpoint/index.js'
import { type NameParts, nameParts, titleOf } from './model-name.js'
import { parameterCount, sizeLabel } from './size-label.js'

const int32 = (value: number): MetadataValue => ({ type: 'int32', value: Math.trunc(value) })

/** Sampling advice: fields of generation_config.json and their keys, in the order of llama.cpp's converter. The first present field counts. */
const sampling: readonly (readonly [string, (value: number) => MetadataValue, ...string[]])[] = [
  ['top_k', int32, 'top_k'],
  ['top_p', float32, 'top_p'],
  ['min_p', float32, 'min_p'],
  ['xtc_probability', float32, 'xtc_probability'],
  ['xtc_threshold', float32, 'xtc_threshold'],
  ['temp', float32, 'temperature'],
  ['penalty_last_n', int32, 'penalty_last_n'],
  ['penalty_repeat', float32, 'penalty_repeat', 'repetition_penalty'],
  ['mirostat', int32, 'mirostat'],
  ['mirostat_tau', float32, 'mirostat_tau'],
  ['mirostat_eta', float32, 'mirostat_eta'],
]

/**
 * The keys under `general.` that say what the model is: architecture, sampling advice, name and size. The name comes from config.json
 * (`_name_or_path`) or the folder.
 */
export async function generalMetadata(
  checkpoint: Checkpoint,
  architecture: string,
  tensors: readonly { readonly name: string; readonly shape: Shape }[],
): Promise<[string, MetadataValue][]> {
  const generation = (await checkpoint.readJson('generation_config.json')) ?? {}
  const parts = readNames(checkpoint, parameterCount(tensors))
  const optional = (key: string, value: string | undefined): [string, MetadataValue][] =>
    value === undefined ? [] : [[`general.${key}`, text(value)]]
  return [
    ['general.architecture', text(architecture)],
    ['general.type', text('model')],
    ...sampling.flatMap(([key, make, ...fields]): [string, MetadataValue][] => {
      const value = fields
        .map((field) => generation[field])
        .find((value) => typeof value === 'number' && Math.abs(value) < 2 ** 31)
      return typeof value === 'number' ? [[`general.sampling.${key}`, make(value)]] : []
    }),
    ['general.name', text(titleOf(parts.name ?? basename(checkpoint.path)))],
    ...optional('version', parts.version),
    ...optional('organization', parts.organization === undefined ? undefined : titleOf(parts.organization)),
    ...optional('finetune', parts.finetune),
    ...optional('basename', parts.basename),
    ['general.size_label', text(parts.sizeLabel ?? sizeLabel(tensors))],
  ]
}

/** From config.json, where it names a model and not a path of someone's disk; what it leaves open, from the folder. */
function readNames(checkpoint: Checkpoint, parameters: number): NameParts {
  const { _name_or_path: written } = checkpoint.config
  const named = typeof written === 'string' && written !== '' && written.split('/').length <= 2
  return { ...nameParts(basename(checkpoint.path), parameters), ...(named ? nameParts(written, parameters) : {}) }
}
