import type { MetadataValue } from '../../../formats/gguf/index.js'
import type { Shape } from '../../recipe/index.js'
import { float32, text } from '../architectures/index.js'
import { type Checkpoint, isHash } from '../checkpoint/index.js'
import { cardMetadata } from './model-card.js'
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
 * The keys under `general.` that say what the model is: architecture, sampling advice, name, size and origin.
 * @param given the model's name, `ORG/NAME` or `NAME`; by default that of config.json (`_name_or_path`), and what it leaves open, of the
 * folder.
 * @param card the front matter of README.md.
 */
export async function generalMetadata(
  checkpoint: Checkpoint,
  architecture: string,
  tensors: readonly { readonly name: string; readonly shape: Shape }[],
  { given, card = {} }: { readonly given?: string | undefined; readonly card?: Readonly<Record<string, unknown>> } = {},
): Promise<[string, MetadataValue][]> {
  const generation = (await checkpoint.readJson('generation_config.json')) ?? {}
  const parameters = parameterCount(tensors)
  const parts = readNames(checkpoint, parameters, given)
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
    ...optional('name', parts.name === undefined ? undefined : titleOf(parts.name)),
    ...optional('version', parts.version),
    ...optional('organization', parts.organization === undefined ? undefined : titleOf(parts.organization)),
    ...optional('finetune', parts.finetune),
    ...optional('basename', parts.basename),
    ['general.size_label', text(parts.sizeLabel ?? sizeLabel(tensors))],
    ...cardMetadata(card, parameters),
  ]
}

function readNames(checkpoint: Checkpoint, parameters: number, given: string | undefined): NameParts {
  if (given !== undefined) return nameParts(given, parameters)
  const { _name_or_path: written } = checkpoint.config
  return {
    ...(checkpoint.modelId === undefined ? {} : nameParts(checkpoint.modelId, parameters)),
    ...(isModelName(written) ? nameParts(written, parameters) : {}),
  }
}

/** Whether `_name_or_path` names a model, and is not a place on the disk of whoever saved it, which is nobody's business. */
function isModelName(written: unknown): written is string {
  if (typeof written !== 'string') return false
  const parts = written.split('/')
  const isPart = (part: string): boolean =>
    /[\p{L}\p{N}]/u.test(part) && !/^[.~]|\\|^[A-Za-z]:|[\p{Cc}]/u.test(part) && !isHash(part)
  return parts.length <= 2 && parts.every(isPart)
}
