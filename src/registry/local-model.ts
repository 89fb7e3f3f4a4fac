import { join } from 'node:path'
import { cacheDirectory, selectCheckpoint, selectGguf } from '../hub/index.js'
import { checkBlobs, findLocalFiles, type LocalFiles, linkFiles } from './local-files.js'
import { blobPath, type SnapshotFile } from './store/index.js'

/**
 * Finds the path of a model in a registry's folder on this machine, for programs that read files: no server, no copy.
 * @param name `NAMESPACE/NAME[:TAG]`. A tag that exists wins over file names that resemble it.
 * @returns the path of the first file; undefined where the registry has no such GGUF.
 * @throws MqError NAME_INVALID, REGISTRY_CORRUPT, FILE_UNREADABLE.
 */
export async function findLocalModel(
  name: string,
  registry: string,
  cache: string = cacheDirectory(),
): Promise<string | undefined> {
  const found = await findLocalFiles(name, registry)
  return found && (await ggufIn(found, cache))
}

/**
 * Finds the path of a model as findLocalModel does, or of a checkpoint, as a folder of links in the cache.
 * @returns undefined where the registry has no such model.
 * @throws MqError NAME_INVALID, REGISTRY_CORRUPT, FILE_UNREADABLE.
 */
export async function findLocalSource(
  name: string,
  registry: string,
  cache: string = cacheDirectory(),
): Promise<string | undefined> {
  const found = await findLocalFiles(name, registry)
  if (found === undefined) return undefined
  const isCheckpoint = found.type === undefined && found.files.some(({ path }) => path.endsWith('.safetensors'))
  return isCheckpoint ? checkpointIn(found, cache) : ggufIn(found, cache)
}

async function ggufIn({ store, files, type }: LocalFiles, cache: string): Promise<string | undefined> {
  const shards = chosenOf(files, (paths) => selectGguf(paths, type))
  await checkBlobs(store, shards)
  const [first] = shards
  if (first === undefined) return undefined
  if (shards.length === 1) return blobPath(store, first.digest)
  // llama.cpp finds the shards of a model by their names.
  const nameOf = ({ path }: SnapshotFile): string => path.slice(path.lastIndexOf('/') + 1)
  return join(await linkFiles(store, shards, cache, nameOf), nameOf(first))
}

async function checkpointIn({ store, model, files }: LocalFiles, cache: string): Promise<string> {
  const chosen = chosenOf(files, selectCheckpoint)
  await checkBlobs(store, chosen)
  // Metadata are derived from the folder's name, so it is the model's.
  return join(await linkFiles(store, chosen, cache, ({ path }) => `${model.name}/${path}`), model.name)
}

function chosenOf(files: readonly SnapshotFile[], select: (paths: readonly string[]) => string[]): SnapshotFile[] {
  const byPath = new Map(files.map((file) => [file.path, file]))
  return select([...byPath.keys()]).flatMap((path) => byPath.get(path) ?? [])
}
