import type { MetadataValue } from '../../../formats/gguf/index.js'
import { text } from '../architectures/index.js'
import type { Checkpoint } from '../checkpoint/index.js'
import { nameParts, titleOf } from './model-name.js'

type Entry = [string, MetadataValue]
type Card = Readonly<Record<string, unknown>>

/** The front matter of a model card is a few lines: more of it is no front matter. */
const maxFrontMatter = 65_536

/**
 * What the model card says of a model's origin: the YAML front matter of README.md.
 * @returns its fields; none where there is no card, and none with a note where its YAML cannot be read.
 */
export async function readModelCard(
  checkpoint: Pick<Checkpoint, 'readBytes'>,
): Promise<{ readonly card: Card; readonly notes: readonly string[] }> {
  // A conversion does not fail for what a broken README.md might have said.
  const bytes = await checkpoint.readBytes('README.md').catch(() => undefined)
  const [, yaml] =
    /^\uFEFF?---\r?\n([^]*?)\r?\n---(?:\r?\n|$)/.exec(new TextDecoder().decode(bytes?.subarray(0, maxFrontMatter))) ?? []
  if (yaml === undefined) return { card: {}, notes: [] }
  // Loaded here: it takes longer than all else of a conversion's start.
  const { parse } = await import('yaml')
  try {
    const card: unknown = parse(yaml.replaceAll('\t', '  '), { schema: 'core', maxAliasCount: 20, logLevel: 'error' })
    return { card: isCard(card) ? card : {}, notes: [] }
  } catch {
    return {
      card: {},
      notes: ['The front matter of README.md is not valid YAML: licence and tags are left out of the metadata.'],
    }
  }
}

function isCard(value: unknown): value is Card {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * Keys of the licence, parent models, datasets, tags and languages, in the order of llama.cpp's converter. What names the model itself
 * stays with config.json and the folder. Source: apply_metadata_heuristic and set_gguf_meta_model of gguf-py/gguf/metadata.py, v0.7.0.
 * @param parameters of the model, for sizes in the names of its parents.
 */
export function cardMetadata(card: Card, parameters: number): Entry[] {
  const license = textsOf(card['license'])
  return [
    ...(license.length === 0 ? [] : [['general.license', text(license.join(','))] as Entry]),
    ...['license_name', 'license_link'].flatMap((field): Entry[] => {
      const value = card[field]
      return typeof value === 'string' && value !== '' ? [[`general.${field}`, text(value)]] : []
    }),
    ...origins('base_model', firstOf(card, 'base_model', 'base_models', 'base_model_sources'), parameters),
    ...origins('dataset', firstOf(card, 'datasets', 'dataset', 'dataset_sources'), parameters),
    ...list('tags', [...textsOf(card['tags']), ...textsOf(card['pipeline_tag'])]),
    ...list('languages', [...textsOf(card['languages']), ...textsOf(card['language'])]),
  ]
}

function firstOf(card: Card, ...fields: readonly string[]): readonly string[] {
  const field = fields.find((field) => card[field] !== undefined && card[field] !== null)
  return field === undefined ? [] : textsOf(card[field]).filter((id) => !isPath(id))
}

/** Whether an origin is a place on the disk of whoever wrote the card. */
function isPath(id: string): boolean {
  return /^[/.~]|\\|^[A-Za-z]:(?!\/\/)/.test(id)
}

/** A text or a list of texts; YAML takes `no` and 1.0 for something else, which they are not here. */
function textsOf(value: unknown): string[] {
  const all = Array.isArray(value) ? value : [value]
  return all
    .filter((item) => ['string', 'number', 'boolean'].includes(typeof item))
    .map(String)
    .filter((item) => item !== '')
}

function list(key: string, values: readonly string[]): Entry[] {
  return values.length === 0 ? [] : [[`general.${key}`, { type: 'array', elementType: 'string', value: [...values] }]]
}

/** Where a model comes from: name, version, organization and address of each parent model or dataset. */
function origins(key: string, ids: readonly string[], parameters: number): Entry[] {
  if (ids.length === 0) return []
  return [
    [`general.${key}.count`, { type: 'uint32', value: ids.length }],
    ...ids.flatMap((id, index): Entry[] => {
      const isUrl = /^(?:https?|ssh):\/\//.test(id)
      const [, ofHub] = /^https?:\/\/huggingface\.co\/([^/]+\/[^/]+)$/.exec(id) ?? []
      const named = isUrl ? ofHub : id
      const { name, organization, version } = named === undefined ? {} : nameParts(named, parameters)
      const url = isUrl
        ? id
        : organization === undefined || name === undefined
          ? undefined
          : `https://huggingface.co/${organization}/${name}`
      const entry = (field: string, value: string | undefined): Entry[] =>
        value === undefined ? [] : [[`general.${key}.${index}.${field}`, text(value)]]
      return [
        ...entry('name', name === undefined ? undefined : titleOf(name)),
        ...entry('version', version),
        ...entry('organization', organization === undefined ? undefined : titleOf(organization)),
        ...entry('repo_url', url),
      ]
    }),
  ]
}
