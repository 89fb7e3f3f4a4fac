import { createHash } from 'node:crypto'
import { link, mkdir, stat, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { cacheDirectory, selectCheckpoint } from '../hub/index.js'
import { findLocalModel } from './local-model.js'
import { blobPath, findRepository, openStore, parseModelName, readRevisions } from './store/index.js'

/**
 * The path of a model in a registry's folder on this machine, for work that takes a checkpoint folder or a GGUF file. A checkpoint is a
 * folder of links in the cache.
 * @param name `NAMESPACE/NAME[:TAG]`.
 * @returns undefined where the registry has no such model.
 * @throws MqError NAME_INVALID, REGISTRY_CORRUPT, FILE_UNREADABLE.
 */
export async function findLocalSource(
  name: string,
  registry: string,
  cache: string = cacheDirectory(),
): Promise<string | undefined> {
  const model = parseModelName(name)
  const store = openStore(registry)
  const repository = await findRepository(store, model)
  if (repository === undefined) return undefined
  const { main, tags } = await readRevisions(store, repository)
  const { files } = (model.tag === undefined ? undefined : tags.get(model.tag)) ?? main
  const isCheckpoint = files.some(({ path }) => path.endsWith('.safetensors'))
  if (!isCheckpoint || (model.tag !== undefined && !tags.has(model.tag))) return findLocalModel(name, registry, cache)
  const wanted = new Set(selectCheckpoint(files.map(({ path }) => path)))
  const chosen = files.filter(({ path }) => wanted.has(path))
  const key = createHash('sha256').update(store.directory)
  for (const { path, digest } of chosen) key.update(`\n${path}\0${digest}`)
  // A folder of its own for each content: its name is the model's, which metadata are made from.
  const folder = join(cache, 'links', key.digest('hex').slice(0, 16), model.name)
  for (const { path, digest } of chosen) {
    const place = join(folder, path)
    await mkdir(dirname(place), { recursive: true })
    if ((await stat(place).catch(() => undefined)) !== undefined) continue
    await symlink(blobPath(store, digest), place).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') await link(blobPath(store, digest), place)
    })
  }
  return folder
}
