import { createHash } from 'node:crypto'
import { link, mkdir, stat, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { MqError } from '../errors/index.js'
import { cacheDirectory, selectGguf } from '../hub/index.js'
import {
  blobPath,
  findRepository,
  openStore,
  parseModelName,
  readRevisions,
  type SnapshotFile,
  type Store,
} from './store/index.js'

/**
 * The path of a model in a registry's folder on this machine, for programs that read files: no server, no copy.
 * @param name `NAMESPACE/NAME[:TAG]`. A tag that exists wins over file names that resemble it.
 * @returns the path of the first file; undefined where the registry has no such GGUF.
 * @throws MqError NAME_INVALID, REGISTRY_CORRUPT, FILE_UNREADABLE.
 */
export async function findLocalModel(
  name: string,
  registry: string,
  cache: string = cacheDirectory(),
): Promise<string | undefined> {
  const model = parseModelName(name)
  const store = openStore(registry)
  const repository = await findRepository(store, model)
  if (repository === undefined) return undefined
  const { main, tags } = await readRevisions(store, repository)
  const tagged = model.tag === undefined ? undefined : tags.get(model.tag)
  const { files } = tagged ?? main
  const chosen = selectGguf(
    files.map(({ path }) => path),
    tagged === undefined ? model.tag : undefined,
  )
  const shards = chosen.flatMap((path) => files.find((file) => file.path === path) ?? [])
  for (const shard of shards) await checkBlob(store, shard)
  const [first] = shards
  if (first === undefined) return undefined
  return shards.length === 1 ? blobPath(store, first.digest) : linkShards(store, shards, cache)
}

async function checkBlob(store: Store, { path, digest, sizeBytes }: SnapshotFile): Promise<void> {
  const { size } = await stat(blobPath(store, digest)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
    return { size: -1 }
  })
  if (size === sizeBytes) return
  const problem =
    size < 0 ? `the blob ${digest} of ${path} is missing` : `the blob ${digest} of ${path} has ${size} bytes, not ${sizeBytes}`
  throw MqError.of('REGISTRY_CORRUPT', { path: store.directory, problem })
}

/** llama.cpp finds the shards of a model by their names, so they get names: links in the cache. */
async function linkShards(store: Store, shards: readonly SnapshotFile[], cache: string): Promise<string> {
  const key = createHash('sha256').update(store.directory)
  for (const { path, digest } of shards) key.update(`\n${path}\0${digest}`)
  const folder = join(cache, 'links', key.digest('hex').slice(0, 16))
  await mkdir(folder, { recursive: true })
  const names = shards.map(({ path }) => path.slice(path.lastIndexOf('/') + 1))
  for (const [index, { digest }] of shards.entries()) {
    const target = blobPath(store, digest)
    const path = join(folder, names[index] as string)
    if ((await stat(path).catch(() => undefined)) !== undefined) continue
    await symlink(target, path).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') await link(target, path)
    })
  }
  return join(folder, names[0] as string)
}
