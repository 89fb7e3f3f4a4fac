import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileSource } from '../../formats/byte-source.js'
import { FormatError } from '../../formats/format-error.js'
import { checkShards, readSafetensorsHeader, readShardIndex, type SafetensorsHeader } from '../../formats/safetensors/index.js'
import { MqError } from '../errors.js'

const indexName = 'model.safetensors.index.json'
const maxTextBytes = 512 * 2 ** 20

/** The headers of a checkpoint's weight files, by file name, in the order of their names. */
export async function readHeaders(folder: string): Promise<ReadonlyMap<string, SafetensorsHeader>> {
  const names = (await readdir(folder)).toSorted()
  if (names.includes(indexName)) {
    const index = await withSource(join(folder, indexName), readShardIndex)
    const headers = await readAll(
      folder,
      index.files.filter((file) => names.includes(file)),
    )
    checkShards(index, headers)
    return headers
  }
  const weights = names.filter((name) => name.endsWith('.safetensors'))
  // Some repositories hold the weights a second time, under their maker's own names (consolidated.safetensors).
  const named = weights.filter((name) => name.startsWith('model'))
  const chosen = named.length > 0 ? named : weights
  if (chosen.length === 0) {
    const torch = names.some((name) => /\.(bin|pth|pt)$/.test(name))
    throw MqError.of('CHECKPOINT_EMPTY', {
      path: folder,
      problem: torch ? 'its weights are PyTorch files, not safetensors' : 'there are no *.safetensors',
    })
  }
  const headers = await readAll(folder, chosen)
  checkNamesOnce(folder, headers)
  return headers
}

async function readAll(folder: string, names: readonly string[]): Promise<Map<string, SafetensorsHeader>> {
  const headers = new Map<string, SafetensorsHeader>()
  for (const name of names) headers.set(name, await withSource(join(folder, name), readSafetensorsHeader))
  return headers
}

function checkNamesOnce(folder: string, headers: ReadonlyMap<string, SafetensorsHeader>): void {
  const places = new Map<string, string>()
  for (const [file, { tensors }] of headers) {
    for (const tensor of tensors.keys()) {
      const place = places.get(tensor)
      if (place !== undefined) {
        const problem = `it holds the tensor ${JSON.stringify(tensor)}, which stands in ${place} too`
        throw MqError.from(new FormatError('SAFETENSORS_INVALID', { file: join(folder, file), problem }))
      }
      places.set(tensor, file)
    }
  }
}

async function withSource<T>(path: string, read: (source: Awaited<ReturnType<typeof fileSource>>) => Promise<T>): Promise<T> {
  const source = await fileSource(path)
  try {
    return await read(source)
  } finally {
    await source.close()
  }
}

/** The text of a small file of the checkpoint; undefined where there is none. */
export async function readTextFile(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined)
  if (found === undefined || !found.isFile()) return undefined
  if (found.size > maxTextBytes) throw MqError.of('CONFIG_INVALID', { file: path, problem: `it has ${found.size} bytes` })
  return readFile(path, 'utf8')
}

/**
 * A JSON file of the checkpoint; undefined where there is none.
 * @throws MqError CONFIG_INVALID where it is not a JSON object.
 */
export async function readJsonFile(path: string): Promise<Readonly<Record<string, unknown>> | undefined> {
  const text = await readTextFile(path)
  if (text === undefined) return undefined
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw MqError.of('CONFIG_INVALID', { file: path, problem: 'it is not JSON' }, { cause: error })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw MqError.of('CONFIG_INVALID', { file: path, problem: 'it is not a JSON object' })
  }
  return value as Readonly<Record<string, unknown>>
}
