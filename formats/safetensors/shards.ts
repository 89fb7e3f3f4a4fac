import type { ByteSource } from '../byte-source.js'
import { FormatError } from '../format-error.js'
import { refuseLfsPointer } from '../lfs-pointer.js'
import { quote } from '../quote.js'
import type { SafetensorsHeader } from './header.js'
import { isJsonObject, parseWrittenJson } from './json.js'

const maxIndexBytes = 100_000_000
const maxDepth = 16

/** Which file of a checkpoint holds which tensor. */
export interface ShardIndex {
  /** What the index is called in messages. */
  readonly source: string
  /** Tensor name -> file name. A file name is plain: no folders, so it cannot lead out of the checkpoint. */
  readonly weightMap: ReadonlyMap<string, string>
  /** The file names, each once, sorted. */
  readonly files: readonly string[]
}

/**
 * Reads and checks `model.safetensors.index.json`.
 * @throws FormatError SAFETENSORS_INDEX_INVALID, LFS_POINTER.
 */
export async function readShardIndex(source: ByteSource): Promise<ShardIndex> {
  const fail = (problem: string): FormatError => new FormatError('SAFETENSORS_INDEX_INVALID', { file: source.name, problem })
  if (source.byteLength > maxIndexBytes) throw fail(`it has ${source.byteLength} bytes, and at most ${maxIndexBytes} are allowed`)
  await refuseLfsPointer(source)
  const json = parseWrittenJson(await source.slice(0, source.byteLength), maxDepth, fail)
  const map = isJsonObject(json) ? json['weight_map'] : undefined
  if (!isJsonObject(map)) throw fail('it has no weight_map object')
  const weightMap = new Map<string, string>()
  for (const [tensor, file] of Object.entries(map)) {
    if (typeof file !== 'string' || !isShardName(file)) {
      throw fail(`it places the tensor ${quote(tensor)} in ${quote(file)}, which is not the plain name of a .safetensors file`)
    }
    weightMap.set(tensor, file)
  }
  if (weightMap.size === 0) throw fail('its weight_map is empty')
  return { source: source.name, weightMap, files: [...new Set(weightMap.values())].toSorted() }
}

/**
 * Checks an index against the headers of its shards: every tensor stands in the one shard that the index says, and nowhere else.
 * @param headers by file name.
 * @throws FormatError SAFETENSORS_INDEX_INVALID, naming the first file or tensor that is wrong.
 */
export function checkShards(index: ShardIndex, headers: ReadonlyMap<string, SafetensorsHeader>): void {
  const fail = (problem: string): FormatError => new FormatError('SAFETENSORS_INDEX_INVALID', { file: index.source, problem })
  for (const file of index.files) {
    if (!headers.has(file)) throw fail(`the shard ${file} is missing`)
  }
  for (const [tensor, file] of index.weightMap) {
    if (headers.get(file)?.tensors.has(tensor) !== true) throw fail(`the tensor ${quote(tensor)} is not in ${file}`)
  }
  for (const [file, header] of headers) {
    for (const tensor of header.tensors.keys()) {
      const place = index.weightMap.get(tensor)
      if (place === undefined) throw fail(`${file} holds the tensor ${quote(tensor)}, which the index does not name`)
      if (place !== file) throw fail(`the tensor ${quote(tensor)} is both in ${place} and in ${file}`)
    }
  }
}

function isShardName(name: string): boolean {
  // oxlint-disable-next-line no-control-regex -- control characters have no place in a file name
  return name.endsWith('.safetensors') && name.length <= 255 && !/[/\\:\u0000-\u001f]/.test(name)
}
