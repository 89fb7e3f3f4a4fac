import { readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { openGguf, weightsOfWidened } from '../../formats/gguf/index.js'
import { MqError } from '../errors/index.js'
import { hashFile } from '../files/index.js'
import { filesOfAdapter } from '../model/index.js'
import type { FileIdentity } from './report.js'

/** What a model is made of. */
export interface ModelFiles {
  /** What llama.cpp loads: the file, or the first shard. */
  readonly path: string
  readonly files: FileIdentity[]
  /** 8 times the bytes of all tensors over the number of weights; zeros that widen a model are none. */
  readonly bitsPerWeight: number
}

/**
 * Names, digests and bits per weight of a GGUF; any shard stands for all of them.
 * @throws MqError FILE_MISSING, GGUF_INVALID and kin, INTERRUPTED.
 */
export async function describeModel(path: string, signal?: AbortSignal): Promise<ModelFiles> {
  const { paths, ...described } = await describeWeights(path)
  return { ...described, files: await identify(paths, signal) }
}

/** The same from headers alone: no file is read through. */
export async function describeWeights(path: string): Promise<Omit<ModelFiles, 'files'> & { readonly paths: readonly string[] }> {
  const found = await stat(path).catch((error: unknown) => {
    throw MqError.from(error, path)
  })
  if (found.isDirectory()) throw MqError.of('FILE_UNREADABLE', { path, problem: 'it is a folder, and a GGUF file is needed' })
  const model = await openGguf(path)
  await model.close()
  let bytes = 0
  let elements = 0
  for (const { sizeBytes, dimensions } of model.tensors) {
    bytes += sizeBytes
    elements += dimensions.reduce((product, dimension) => product * dimension, 1)
  }
  return {
    path: model.files[0] ?? path,
    paths: model.files,
    bitsPerWeight: (8 * bytes) / (weightsOfWidened(model.metadata) ?? elements),
  }
}

/** A reference before it has been run. */
export interface IdentifiedReference {
  /** What is run: a checkpoint folder, a GGUF or its first shard. */
  readonly path: string
  readonly files: FileIdentity[]
  /** Of a GGUF. */
  readonly bitsPerWeight?: number
}

/**
 * Names and digests of what a reference is made of: of a checkpoint folder its weights and the JSON beside them.
 * @throws MqError as describeModel does.
 */
export async function describeReference(
  path: string,
  { lora = [], signal }: { readonly lora?: readonly string[] | undefined; readonly signal?: AbortSignal | undefined } = {},
): Promise<IdentifiedReference> {
  const found = await stat(path).catch((error: unknown) => {
    throw MqError.from(error, path)
  })
  if (!found.isDirectory()) return await describeModel(path, signal)
  const own = (await readdir(path)).filter((name) => /\.(safetensors|json)$/.test(name)).sort()
  const files = own.map((name) => join(path, name))
  return { path, files: [...(await identify(files, signal)), ...(await adapterFiles(lora, signal))] }
}

/** What of adapters a model depends on; the scale stands behind the name. */
async function adapterFiles(lora: readonly string[], signal?: AbortSignal): Promise<FileIdentity[]> {
  const found: FileIdentity[] = []
  for (const text of lora) {
    const { name, scale, paths } = await filesOfAdapter(text)
    const own = await identify(paths, signal)
    found.push(...own.map((file) => ({ ...file, name: `${name}/${file.name}${scale === 1 ? '' : `:${scale}`}` })))
  }
  return found
}

/** Name, digest and size of each file. @throws MqError FILE_MISSING, FILE_UNREADABLE, INTERRUPTED. */
export async function identify(paths: readonly string[], signal?: AbortSignal): Promise<FileIdentity[]> {
  const files: FileIdentity[] = []
  for (const path of paths) files.push({ name: basename(path), ...(await hashFile(path, signal)) })
  return files
}
