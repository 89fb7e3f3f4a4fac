import { basename } from 'node:path'
import { type ByteSource, fileSource } from '../byte-source.js'
import { FormatError } from '../format-error.js'
import { quote } from '../quote.js'
import { type GgufHeader, readGguf } from './reader.js'
import { parseShardName, shardName, splitKeys } from './shards.js'
import type { GgufTensorInfo, Metadata } from './types.js'

/** A tensor of an open model: where its bytes are. */
export interface OpenGgufTensor extends GgufTensorInfo {
  /** Index into `files`. */
  readonly file: number
  /** First byte, counted from the start of that file. */
  readonly start: number
  /** One past the last byte. */
  readonly end: number
}

/** A GGUF model that is open for reading: one file, or all the shards of one. */
export interface OpenGguf {
  /** Paths, in the order of the shards. */
  readonly files: readonly string[]
  /** The same, open. */
  readonly sources: readonly ByteSource[]
  readonly version: number
  /** Of the tensors' data, too. */
  readonly byteOrder: 'little' | 'big'
  /** Without the split keys. */
  readonly metadata: Metadata
  readonly tensors: readonly OpenGgufTensor[]
  /** Closes the files. */
  close(): Promise<void>
}

/** How the files of a model are opened: on this machine, or over HTTP. @throws ENOENT where there is none. */
export type OpenSource = (path: string) => Promise<ByteSource>

/**
 * Opens a GGUF file and checks its header. For one shard of a split model, whichever, all of them are opened and put together.
 * @throws FormatError as readGguf does, GGUF_INVALID where a shard is missing or does not belong; Node's ENOENT for the path itself.
 */
export async function openGguf(path: string, open: OpenSource = fileSource): Promise<OpenGguf> {
  const sources: ByteSource[] = []
  const close = async (): Promise<void> => {
    await Promise.all(sources.map((source) => source.close()))
  }
  try {
    const first = await open(path)
    sources.push(first)
    const header = await readGguf(first)
    const count = splitCount(header, path)
    if (count <= 1) return assemble([path], sources, [header], close)

    const paths = shardPaths(path, count)
    const headers: GgufHeader[] = []
    await close()
    sources.length = 0
    for (const shard of paths) {
      const source = await openShard(shard, path, open)
      sources.push(source)
      headers.push(await readGguf(source))
    }
    checkSplit(paths, headers)
    return assemble(paths, sources, headers, close)
  } catch (error) {
    await close()
    throw error
  }
}

function splitCount(header: GgufHeader, path: string): number {
  const entry = header.metadata.get(splitKeys.count)
  if (entry === undefined) return 1
  if (typeof entry.value !== 'number') throw invalid(path, `its ${splitKeys.count} is not a number`)
  return entry.value
}

/** The names come from the path and not from the file, so a file cannot lead out of its folder. */
function shardPaths(path: string, count: number): string[] {
  const parsed = parseShardName(path)
  if (parsed === undefined || parsed.count !== count) {
    throw invalid(
      path,
      `it is a shard of ${count}, and its name does not end in -00001-of-${String(count).padStart(5, '0')}.gguf`,
    )
  }
  return Array.from({ length: count }, (_, index) => shardName(parsed.stem, index, count))
}

async function openShard(shard: string, path: string, open: OpenSource): Promise<ByteSource> {
  try {
    return await open(shard)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    throw new FormatError('GGUF_INVALID', { file: path, problem: `the shard ${basename(shard)} is missing` }, { cause: error })
  }
}

function checkSplit(paths: readonly string[], headers: readonly GgufHeader[]): void {
  const names = new Set<string>()
  const total = headers.reduce((sum, { tensors }) => sum + tensors.length, 0)
  for (const [index, { metadata, byteOrder, tensors }] of headers.entries()) {
    const path = paths[index] as string
    const expected = { [splitKeys.index]: index, [splitKeys.count]: paths.length, [splitKeys.tensors]: total }
    for (const [key, value] of Object.entries(expected)) {
      const found = metadata.get(key)?.value
      if (found !== value) throw invalid(path, `its ${key} is ${quote(found)} where ${value} is expected`)
    }
    if (byteOrder !== headers[0]?.byteOrder) throw invalid(path, 'its byte order is not that of the first shard')
    for (const { name } of tensors) {
      if (names.has(name)) throw invalid(path, `the tensor ${quote(name)} is also in another shard`)
      names.add(name)
    }
  }
}

function assemble(
  files: readonly string[],
  sources: readonly ByteSource[],
  headers: readonly GgufHeader[],
  close: () => Promise<void>,
): OpenGguf {
  const { version, byteOrder, metadata } = headers[0] as GgufHeader
  const hidden = new Set<string>(Object.values(splitKeys))
  return {
    files,
    sources,
    version,
    byteOrder,
    metadata: new Map([...metadata].filter(([key]) => !hidden.has(key))),
    tensors: headers.flatMap(({ tensors, dataOffset }, file) =>
      tensors.map((tensor) => {
        const start = dataOffset + tensor.offset
        return { ...tensor, file, start, end: start + tensor.sizeBytes }
      }),
    ),
    close,
  }
}

function invalid(file: string, problem: string): FormatError {
  return new FormatError('GGUF_INVALID', { file, problem })
}
