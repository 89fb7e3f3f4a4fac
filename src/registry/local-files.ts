import { createHash } from 'node:crypto'
import { link, mkdir, stat, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { MqError } from '../errors/index.js'
import {
  blobPath,
  findRepository,
  type ModelName,
  openStore,
  parseModelName,
  readRevisions,
  type SnapshotFile,
  type Store,
} from './store/index.js'

/** The files that a model name stands for in a registry's folder. */
export interface LocalFiles {
  readonly store: Store
  readonly model: ModelName
  readonly files: readonly SnapshotFile[]
  /** The part of the name after the colon where that is no tag: the type in the name of a file, such as `q8_0`. */
  readonly type: string | undefined
}

/**
 * Finds the files of a tag, or of all tags where none is named or the one that is named does not exist.
 * @param name `NAMESPACE/NAME[:TAG]`.
 * @returns undefined where the registry has no such repository.
 * @throws MqError NAME_INVALID, REGISTRY_CORRUPT, FILE_UNREADABLE.
 */
export async function findLocalFiles(name: string, registry: string): Promise<LocalFiles | undefined> {
  const model = parseModelName(name)
  const store = openStore(registry)
  const repository = await findRepository(store, model)
  if (repository === undefined) return undefined
  const { main, tags } = await readRevisions(store, repository)
  const tagged = model.tag === undefined ? undefined : tags.get(model.tag)
  return { store, model, files: (tagged ?? main).files, type: tagged === undefined ? model.tag : undefined }
}

/** Checks that the blobs of files exist and have the right size. @throws MqError REGISTRY_CORRUPT. */
export async function checkBlobs(store: Store, files: readonly SnapshotFile[]): Promise<void> {
  for (const { path, digest, sizeBytes } of files) {
    const { size } = await stat(blobPath(store, digest)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
      return { size: -1 }
    })
    if (size === sizeBytes) continue
    const blob = `the blob ${digest} of ${path}`
    const problem = size < 0 ? `${blob} is missing` : `${blob} has ${size} bytes, not ${sizeBytes}`
    throw MqError.of('REGISTRY_CORRUPT', { path: store.directory, problem })
  }
}

/**
 * Links blobs under the names of their files, in a folder of the cache for each content.
 * @param nameOf the path of a link in that folder. @returns the folder.
 */
export async function linkFiles(
  store: Store,
  files: readonly SnapshotFile[],
  cache: string,
  nameOf: (file: SnapshotFile) => string,
): Promise<string> {
  const key = createHash('sha256').update(store.directory)
  for (const { path, digest } of files) key.update(`\n${path}\0${digest}`)
  const folder = join(cache, 'links', key.digest('hex').slice(0, 16))
  for (const file of files) {
    const target = blobPath(store, file.digest)
    const path = join(folder, nameOf(file))
    if ((await stat(path).catch(() => undefined)) !== undefined) continue
    await mkdir(dirname(path), { recursive: true })
    await symlink(target, path).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') await link(target, path)
    })
  }
  return folder
}
