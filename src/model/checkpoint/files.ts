import pLimit from 'p-limit'
import type { ByteSource } from '../../../formats/byte-source.js'
import { FormatError } from '../../../formats/format-error.js'
import { decodeText, JsonProblem, parseJsonText } from '../../../formats/json-text.js'
import { checkShards, readSafetensorsHeader, readShardIndex, type SafetensorsHeader } from '../../../formats/safetensors/index.js'
import { MqError } from '../../errors/index.js'
import { type CheckpointFolder, templateFolder } from './folder.js'

const indexName = 'model.safetensors.index.json'
const singleName = 'model.safetensors'
/** Headers read at a time: over HTTP, most of the time is waiting. */
const concurrency = 8

/** Headers of weight files. */
export interface WeightHeaders {
  /** By file name, in the order of their names. */
  readonly headers: ReadonlyMap<string, SafetensorsHeader>
  /** Whether one file and shards hold a whole model each: the one file is read, as by transformers. */
  readonly holdsTwo: boolean
}

/** The headers of a checkpoint's weight files. */
export async function readHeaders(folder: CheckpointFolder): Promise<WeightHeaders> {
  const names = (await folder.names()).toSorted()
  if (names.includes(indexName)) {
    const index = await withSource(folder, indexName, readShardIndex)
    const single = await wholeBeside(folder, names, index)
    if (single !== undefined) return { headers: new Map([[singleName, single]]), holdsTwo: true }
    const headers = await readAll(
      folder,
      index.files.filter((file) => names.includes(file)),
    )
    checkShards(index, headers)
    return { headers, holdsTwo: false }
  }
  const weights = names.filter((name) => name.endsWith('.safetensors'))
  // Some repositories hold the weights a second time, under their maker's own names (consolidated.safetensors).
  const named = weights.filter((name) => name.startsWith('model'))
  const chosen = named.length > 0 ? named : weights
  if (chosen.length === 0) {
    const torch = names.find((name) => /\.(bin|pth|pt|ckpt)$/.test(name))
    if (torch !== undefined) throw MqError.of('CHECKPOINT_PICKLED', { file: folder.pathOf(torch) })
    throw MqError.of('CHECKPOINT_EMPTY', { path: folder.path, problem: 'there are no *.safetensors' })
  }
  checkNumbers(folder, chosen)
  const headers = await readAll(folder, chosen)
  checkNamesOnce(folder, headers)
  return { headers, holdsTwo: false }
}

/** The header of model.safetensors where it holds all that the shards of an index hold. */
async function wholeBeside(
  folder: CheckpointFolder,
  names: readonly string[],
  index: Awaited<ReturnType<typeof readShardIndex>>,
): Promise<SafetensorsHeader | undefined> {
  if (!names.includes(singleName) || index.files.includes(singleName)) return undefined
  const header = await withSource(folder, singleName, readSafetensorsHeader)
  return [...index.weightMap.keys()].every((tensor) => header.tensors.has(tensor)) ? header : undefined
}

/** Refuses shards of which, by their own numbers, some are missing: where there is no index, nothing else would say so. */
function checkNumbers(folder: CheckpointFolder, names: readonly string[]): void {
  for (const name of names) {
    const [, stem = '', digits = '', count = ''] = /^(.*)-(\d{5})-of-(\d{5})\.safetensors$/.exec(name) ?? []
    if (digits === '') continue
    const wanted = Array.from(
      { length: Number(count) },
      (_, at) => `${stem}-${String(at + 1).padStart(5, '0')}-of-${count}.safetensors`,
    )
    const missing = wanted.find((shard) => !names.includes(shard))
    if (missing === undefined) continue
    const problem = `${missing} is missing`
    throw MqError.from(new FormatError('SAFETENSORS_INDEX_INVALID', { file: folder.pathOf(name), problem }))
  }
}

async function readAll(folder: CheckpointFolder, names: readonly string[]): Promise<Map<string, SafetensorsHeader>> {
  const limit = pLimit(concurrency)
  const read = async (name: string) => [name, await withSource(folder, name, readSafetensorsHeader)] as const
  try {
    return new Map(await Promise.all(names.map((name) => limit(() => read(name)))))
  } finally {
    limit.clearQueue()
  }
}

function checkNamesOnce(folder: CheckpointFolder, headers: ReadonlyMap<string, SafetensorsHeader>): void {
  const places = new Map<string, string>()
  for (const [file, { tensors }] of headers) {
    for (const tensor of tensors.keys()) {
      const place = places.get(tensor)
      if (place !== undefined) {
        const problem = `it holds the tensor ${JSON.stringify(tensor)}, which is also in ${place}`
        throw MqError.from(new FormatError('SAFETENSORS_INDEX_INVALID', { file: folder.pathOf(file), problem }))
      }
      places.set(tensor, file)
    }
  }
}

async function withSource<T>(folder: CheckpointFolder, name: string, read: (source: ByteSource) => Promise<T>): Promise<T> {
  const source = await folder.open(name)
  try {
    return await read(source)
  } finally {
    await source.close()
  }
}

/**
 * A JSON file of the checkpoint; undefined where there is none.
 * @throws MqError CONFIG_INVALID, which says the line and what was met there; LINK_DANGLING, LFS_POINTER.
 */
export async function readJsonFile(
  folder: CheckpointFolder,
  name: string,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  const bytes = await folder.readBytes(name)
  // Advice on sampling that someone has emptied is no advice.
  if (bytes === undefined || (name === 'generation_config.json' && bytes.every(isBlank))) return undefined
  const value = withoutFloatObjects(namingFile(folder, name, () => parseJsonText(bytes)))
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(folder.pathOf(name), 'it is not a JSON object')
  }
  return value as Readonly<Record<string, unknown>>
}

const floatWords: Readonly<Record<string, number | string>> = { Infinity: Infinity, '-Infinity': -Infinity, NaN: 'NaN' }

/** Numbers that JSON does not have, which transformers 5 writes as `{ "__float__": "Infinity" }`: as parseJsonText has the bare ones. */
function withoutFloatObjects(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(withoutFloatObjects)
  const entries = Object.entries(value)
  const [[name, word] = []] = entries
  if (entries.length === 1 && name === '__float__' && typeof word === 'string' && Object.hasOwn(floatWords, word)) {
    return floatWords[word]
  }
  return Object.fromEntries(entries.map(([field, inner]) => [field, withoutFloatObjects(inner)]))
}

/**
 * A text file of the checkpoint; undefined where there is none.
 * @throws MqError CONFIG_INVALID where it is not UTF-8; LINK_DANGLING, LFS_POINTER.
 */
export async function readTextFile(folder: CheckpointFolder, name: string): Promise<string | undefined> {
  const bytes = await folder.readBytes(name)
  return bytes === undefined ? undefined : namingFile(folder, name, () => decodeText(bytes))
}

/**
 * The chat templates besides the usual one, by name: additional_chat_templates/NAME.jinja.
 * @throws MqError CONFIG_INVALID where one is not UTF-8; LINK_DANGLING, LFS_POINTER.
 */
export async function readTemplates(folder: CheckpointFolder): Promise<ReadonlyMap<string, string>> {
  const templates = new Map<string, string>()
  for (const path of (await folder.names()).toSorted()) {
    if (!path.startsWith(`${templateFolder}/`) || !path.endsWith('.jinja')) continue
    const text = await readTextFile(folder, path)
    if (text !== undefined) templates.set(path.slice(templateFolder.length + 1, -'.jinja'.length), text)
  }
  return templates
}

function isBlank(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d)
}

function namingFile<T>(folder: CheckpointFolder, name: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof JsonProblem)) throw error
    throw invalid(folder.pathOf(name), error.message, { cause: error })
  }
}

function invalid(file: string, problem: string, options?: ErrorOptions): MqError {
  return MqError.of('CONFIG_INVALID', { file, problem, advice: `Correct ${file}, or download it again` }, options)
}
