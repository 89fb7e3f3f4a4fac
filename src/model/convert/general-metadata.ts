import type { MetadataValue } from '../../../formats/gguf/index.js'
import { parameterCount, type Shape } from '../../recipe/index.js'
import type { Adapter } from '../adapter/index.js'
import { float32, text } from '../architectures/index.js'
import { type Checkpoint, isHash } from '../checkpoint/index.js'
import { cardMetadata } from './model-card.js'
import { type NameParts, nameParts, titleOf } from './model-name.js'
import { sizeLabel } from './size-label.js'

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

interface GeneralOptions {
  readonly given?: string | undefined
  readonly card?: Readonly<Record<string, unknown>>
  readonly adapters?: readonly Adapter[]
  readonly generation?: Readonly<Record<string, unknown>> | undefined
}

/**
 * The keys under `general.` that say what the model is: architecture, sampling advice, name, size and origin.
 * @param options given: the model's name, `ORG/NAME` or `NAME`; by default that of config.json (`_name_or_path`), and what it leaves open, of the
 * folder.
 * @param options card: the front matter of README.md. adapters: what is merged into the model, which makes it a finetune of the checkpoint's.
 * @param options generation: generation_config.json, which has advice on sampling.
 */
export function generalMetadata(
  checkpoint: Checkpoint,
  architecture: string,
  tensors: readonly { readonly name: string; readonly shape: Shape }[],
  { given, card = {}, adapters = [], generation = {} }: GeneralOptions = {},
): [string, MetadataValue][] {
  const parameters = parameterCount(tensors)
  const named = readNames(checkpoint, parameters, given)
  const parts = given === undefined ? withAdapters(named, adapters) : named
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
    ...cardMetadata(adapters.length === 0 ? card : { ...card, ...parentOf(checkpoint, adapters) }, parameters),
  ]
}

/** A model with adapters has the adapters' names behind its own, as a finetune; folders such as `checkpoint-500` name nothing. */
function withAdapters(parts: NameParts, adapters: readonly Adapter[]): NameParts {
  const names = adapters
    .map(({ name }) => name)
    .filter((name) => !/^(?:checkpoint-\d+|adapter|lora|output|final)$/i.test(name) && !isHash(name))
  const own = names.length === 0 && adapters.length > 0 ? ['LoRA'] : names
  if (own.length === 0 || parts.name === undefined) return parts
  return {
    ...parts,
    name: [parts.name, ...own].join('-'),
    finetune: [...(parts.finetune === undefined ? [] : [parts.finetune]), ...own].join('-'),
  }
}

/** The model that adapters were trained on: as the adapter says it, else that of the checkpoint. */
function parentOf(checkpoint: Checkpoint, adapters: readonly Adapter[]): { readonly base_model?: string } {
  const isId = (name: string | undefined): name is string =>
    name !== undefined && /^[\w.-]+\/[\w.-]+$/.test(name) && !/^\.{1,2}\//.test(name)
  const id = [checkpoint.modelId, ...adapters.map(({ config }) => config.baseModel)].find(isId)
  return id === undefined ? {} : { base_model: id }
}

function readNames(checkpoint: Checkpoint, parameters: number, given: string | undefined): NameParts {
  if (given !== undefined) return nameParts(withoutHub(given), parameters)
  const { _name_or_path: field } = checkpoint.config
  const written = typeof field === 'string' ? withoutHub(field) : field
  return {
    ...(checkpoint.modelId === undefined ? {} : nameParts(checkpoint.modelId, parameters)),
    ...(isModelName(written) ? nameParts(written, parameters) : {}),
  }
}

/** A model's name without the hub that a user or a tool names before it, and the revision or tag behind it: `hf:ORG/NAME@main`. */
function withoutHub(name: string): string {
  const hub = /^(?:hf:(?:\/\/)?|(?:https?:\/\/)?(?:www\.)?(?:huggingface\.co|hf\.co)\/)([^/\s]+\/[^/\s@:?#]+)/i.exec(name)
  const cached = /^models--(.+?)--(.+)$/.exec(name)
  if (cached !== null) return `${cached[1]}/${cached[2]}`
  return hub?.[1] ?? name.replace(/^([\w.-]+\/[\w.-]+)[@:][\w.-]+$/, '$1')
}

/** Whether `_name_or_path` is the name of a model. A path on the disk of whoever saved it is not: it is not published. */
function isModelName(written: unknown): written is string {
  if (typeof written !== 'string') return false
  const parts = written.split('/')
  const isPart = (part: string): boolean => /[\p{L}\p{N}]/u.test(part) && !/^[.~]|[\\:"'<>]|[\p{Cc}]/u.test(part) && !isHash(part)
  return parts.length <= 2 && parts.every(isPart)
}
