import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileSource } from '../../formats/byte-source.js'
import { fileTypeName, type OpenGguf, openGguf, parseShardName, shardName } from '../../formats/gguf/index.js'
import { checkShards, readSafetensorsHeader, readShardIndex, type SafetensorsHeader } from '../../formats/safetensors/index.js'
import { MqError } from '../errors/index.js'
import { isRelativePath } from '../files/index.js'
import { checkpointFolders, selectCheckpoint } from '../hub/index.js'

/** A checked model to publish: its files and properties. */
export interface Source {
  readonly format: 'gguf' | 'safetensors'
  readonly files: readonly SourceFile[]
  /** Sum of the files' sizes. */
  readonly sizeBytes: number
  readonly architecture?: string
  /** Name of the mix of types, such as `Q4_K_M`. */
  readonly quantization?: string
  /** The tag to use when none is given. */
  readonly defaultTag: string
}

/** A file to publish. */
export interface SourceFile {
  /** Its path on disk. */
  readonly source: string
  /** Its path in the repository, once the tag is known. */
  readonly pathFor: (name: string, tag: string) => string
}

/**
 * Inspects a GGUF file (of a shard: all shards) or a folder with safetensors, without reading weights.
 * @throws MqError FILE_MISSING, GGUF_INVALID, SAFETENSORS_INVALID, SAFETENSORS_INDEX_INVALID, CHECKPOINT_EMPTY and their kin.
 */
export async function inspectSource(path: string): Promise<Source> {
  const entry = await stat(path).catch((error: unknown) => {
    throw MqError.from(error, path)
  })
  return entry.isDirectory() ? inspectFolder(path) : inspectGguf(path)
}

async function inspectGguf(path: string): Promise<Source> {
  const model = await openGguf(path)
  try {
    const count = model.files.length
    const architecture = stringOf(model, 'general.architecture')
    const quantization = fileTypeName(numberOf(model, 'general.file_type'))
    return {
      format: 'gguf',
      files: model.files.map((source, index) => ({
        source,
        pathFor: (name, tag) => (count > 1 ? shardName(`${name}-${tag}`, index, count) : `${name}-${tag}.gguf`),
      })),
      sizeBytes: model.sources.reduce((sum, source) => sum + source.byteLength, 0),
      architecture,
      quantization,
      defaultTag: tagOfFileName(path) ?? quantization ?? 'latest',
    }
  } finally {
    await model.close()
  }
}

/** Derives a tag from a file name: Q4_K_M from `llama-kjv-Q4_K_M.gguf`, IQ2_XS from `model.iq2_xs-00001-of-00003.gguf`. */
function tagOfFileName(path: string): string | undefined {
  const file = basename(path)
  const stem = parseShardName(file)?.stem ?? file.replace(/\.gguf$/i, '')
  return /[-.]((?:i?q\d|tq\d|bf16|f16|f32|mxfp4|nvfp4)[a-z0-9_]*)$/i.exec(stem)?.[1]?.toUpperCase()
}

async function inspectFolder(folder: string): Promise<Source> {
  const empty = (problem: string): MqError => MqError.of('CHECKPOINT_EMPTY', { path: folder, problem })
  const found = await Promise.all(['', ...checkpointFolders].map((inner) => filesOf(folder, inner)))
  const paths = selectCheckpoint(found.flat()).filter(isRelativePath).sort()
  if (!paths.includes('config.json')) throw empty('there is no config.json')
  const shards = paths.filter((path) => path.endsWith('.safetensors'))
  if (shards.length === 0) throw empty('there are no *.safetensors')

  const headers = new Map<string, SafetensorsHeader>()
  for (const shard of shards) headers.set(shard, await withSource(join(folder, shard), readSafetensorsHeader))
  const indexName = paths.find((path) => path.endsWith('.safetensors.index.json'))
  if (indexName !== undefined) checkShards(await withSource(join(folder, indexName), readShardIndex), headers)

  const architecture = await modelType(join(folder, 'config.json'))
  const sizes = await Promise.all(paths.map(async (path) => (await stat(join(folder, path))).size))
  return {
    format: 'safetensors',
    files: paths.map((path) => ({ source: join(folder, path), pathFor: () => path })),
    sizeBytes: sizes.reduce((sum, size) => sum + size, 0),
    architecture,
    defaultTag: 'main',
  }
}

/** Lists the files of a folder within `folder`, by their paths from it. Links are followed: caches of other tools consist of them. */
async function filesOf(folder: string, inner: string): Promise<string[]> {
  const entries = await readdir(join(folder, inner), { withFileTypes: true }).catch((error: unknown) => {
    if (inner === '') throw error
    return []
  })
  return entries
    .filter((entry) => entry.isFile() || entry.isSymbolicLink())
    .map(({ name }) => (inner === '' ? name : `${inner}/${name}`))
}

async function modelType(path: string): Promise<string | undefined> {
  try {
    const config: unknown = JSON.parse(await readFile(path, 'utf8'))
    const type = (config as { model_type?: unknown } | null)?.model_type
    return typeof type === 'string' ? type.slice(0, 100) : undefined
  } catch (error) {
    throw MqError.of(
      'CONFIG_INVALID',
      { file: path, problem: 'it is not JSON', advice: `Correct ${path}, or download it again` },
      { cause: error },
    )
  }
}

async function withSource<Result>(
  path: string,
  read: (source: Awaited<ReturnType<typeof fileSource>>) => Promise<Result>,
): Promise<Result> {
  const source = await fileSource(path)
  try {
    return await read(source)
  } finally {
    await source.close()
  }
}

function stringOf({ metadata }: OpenGguf, key: string): string | undefined {
  const value = metadata.get(key)?.value
  return typeof value === 'string' ? value : undefined
}

function numberOf({ metadata }: OpenGguf, key: string): number | undefined {
  const value = metadata.get(key)?.value
  return typeof value === 'number' ? value : undefined
}
