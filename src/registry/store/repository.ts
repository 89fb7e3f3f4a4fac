import { mkdir, readdir, readFile, readlink, rename, rm, stat, symlink } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { MqError } from '../../errors/index.js'
import { withLock } from './lock.js'
import { type Descriptor, encodeJson, type Index, limits, mediaTypes, parseIndex } from './manifest.js'
import { type ModelName, parseModelName, repositoryOf } from './model-name.js'
import { prepareStore, repositoriesDirectory, type Store } from './store.js'
import { writeAtomically } from './temporary.js'
import { fetchFromTrash } from './trash.js'

const imageLayout = { imageLayoutVersion: '1.0.0' }

/** An existing repository. */
export interface Repository {
  /** `NAMESPACE/NAME`, in its original spelling. */
  readonly name: string
  readonly directory: string
}

/** Lists the names of all repositories, sorted. */
export async function listRepositories(store: Store): Promise<string[]> {
  const root = repositoriesDirectory(store)
  await checkFolder(store)
  const names: string[] = []
  for (const namespace of await folders(root)) {
    for (const name of await folders(join(root, namespace))) {
      if (isName(`${namespace}/${name}`) && (await hasIndex(join(root, namespace, name)))) names.push(`${namespace}/${name}`)
    }
  }
  return names.sort()
}

/**
 * Finds a repository by name, whatever its case: OCI clients use lower case only, Hugging Face clients both.
 * @returns undefined where there is none.
 */
export async function findRepository(store: Store, { namespace, name }: ModelName): Promise<Repository | undefined> {
  const root = repositoriesDirectory(store)
  await checkFolder(store)
  const exact = join(root, namespace, name)
  if (await hasIndex(exact)) return { name: `${namespace}/${name}`, directory: exact }
  for (const realNamespace of (await folders(root)).filter((entry) => sameName(entry, namespace))) {
    for (const realName of (await folders(join(root, realNamespace))).filter((entry) => sameName(entry, name))) {
      const directory = join(root, realNamespace, realName)
      if (await hasIndex(directory)) return { name: `${realNamespace}/${realName}`, directory }
    }
  }
  return undefined
}

/** Reads the tags of a repository. @throws MqError REGISTRY_CORRUPT where index.json is not one. */
export async function readIndex(store: Store, repository: Repository): Promise<Index> {
  const path = indexPath(repository.directory)
  const { size } = await stat(path)
  if (size > limits.indexBytes) {
    throw MqError.of('REGISTRY_CORRUPT', { path: store.directory, problem: `${path} has ${size} bytes` })
  }
  return parseIndex(store, await readFile(path), path)
}

/**
 * Changes a repository's tags, and creates the repository if necessary. Writers exclude each other; readers see the old tags or the new.
 * @param options.repair replaces a damaged index.json, and keeps the damaged file beside it.
 * @param options.needs digests of the blobs that the new tags need.
 */
export async function updateIndex(
  store: Store,
  model: ModelName,
  change: (index: Index) => Index,
  { repair = false, needs = [] }: { readonly repair?: boolean; readonly needs?: readonly string[] } = {},
): Promise<Repository> {
  await prepareStore(store)
  return withLock(store, repositoryOf(model), async (lock) => {
    const found = await findRepository(store, model)
    const repository = found ?? (await makeRepository(store, model))
    const index = found === undefined ? emptyIndex() : await readOrRepair(store, repository, repair)
    const next = change(index)
    const changed = encodeJson(next)
    checkIndexLimits(model, next.manifests.length, changed.byteLength)
    await lock.confirm()
    await writeAtomically(store, indexPath(repository.directory), changed)
    // Garbage collection may have moved them to the trash before the tag was visible.
    for (const digest of needs) await fetchFromTrash(store, digest)
    return repository
  })
}

/**
 * Checks an index against the limits of readers.
 * @throws MqError REGISTRY_LIMIT.
 */
export function checkIndexLimits(model: ModelName, tags: number, bytes = 0): void {
  const name = repositoryOf(model)
  if (tags > limits.manifests)
    throw MqError.of('REGISTRY_LIMIT', { name, problem: `it has ${limits.manifests} tags, the most there can be` })
  if (bytes > limits.indexBytes)
    throw MqError.of('REGISTRY_LIMIT', { name, problem: `its list of tags would have ${bytes} bytes` })
}

/**
 * Removes entries of a repository's index, and the repository with the last of them. Blobs are left to garbage collection.
 * @param keep says which entries stay.
 * @returns the removed entries.
 */
export async function removeEntries(
  store: Store,
  repository: Repository,
  keep: (entry: Descriptor) => boolean,
): Promise<Descriptor[]> {
  return withLock(store, repository.name, async (lock) => {
    const index = await readIndex(store, repository)
    const kept = index.manifests.filter(keep)
    await lock.confirm()
    if (kept.length > 0) await writeAtomically(store, indexPath(repository.directory), encodeJson({ ...index, manifests: kept }))
    else await dropRepository(repository)
    return index.manifests.filter((entry) => !kept.includes(entry))
  })
}

/** Removes a repository, whatever the state of its index. */
export async function removeRepository(store: Store, repository: Repository): Promise<void> {
  await withLock(store, repository.name, async (lock) => {
    await lock.confirm()
    await dropRepository(repository)
  })
}

async function dropRepository({ directory }: Repository): Promise<void> {
  // A folder without index is no repository: readers see all of it or nothing.
  await rm(indexPath(directory))
  await rm(directory, { recursive: true, force: true })
}

function indexPath(directory: string): string {
  return join(directory, 'index.json')
}

function emptyIndex(): Index {
  return { schemaVersion: 2, mediaType: mediaTypes.index, manifests: [] }
}

async function readOrRepair(store: Store, repository: Repository, repair: boolean): Promise<Index> {
  try {
    return await readIndex(store, repository)
  } catch (error) {
    if (!repair || MqError.from(error).code !== 'REGISTRY_CORRUPT') throw error
    await rename(indexPath(repository.directory), `${indexPath(repository.directory)}.damaged`)
    return emptyIndex()
  }
}

async function makeRepository(store: Store, { namespace, name }: ModelName): Promise<Repository> {
  const root = repositoriesDirectory(store)
  // An existing namespace keeps its spelling, so that `KJV/a` and `kjv/b` are neighbours.
  const namespaces = await folders(root)
  const spelled =
    namespaces.find((entry) => entry === namespace) ?? namespaces.find((entry) => sameName(entry, namespace)) ?? namespace
  const directory = join(root, spelled, name)
  await mkdir(directory, { recursive: true })
  await writeAtomically(store, join(directory, 'oci-layout'), encodeJson(imageLayout))
  await linkBlobs(store, directory)
  return { name: `${spelled}/${name}`, directory }
}

async function linkBlobs(store: Store, directory: string): Promise<void> {
  const path = join(directory, 'blobs')
  const shared = join(store.directory, 'blobs')
  // Relative, so that the registry can be moved or mounted elsewhere. Windows has junctions, which are absolute.
  const [target, type] =
    process.platform === 'win32' ? [shared, 'junction' as const] : [relative(directory, shared), 'dir' as const]
  try {
    await symlink(target, path, type)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST' && (await readlink(path).catch(() => '')) !== '') return
    // Without the link, as on FAT, the registry works, but other programs do not find the blobs of its layouts.
    if (!['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EINVAL', 'EACCES'].includes(code ?? '')) throw error
  }
}

/** Checks the registry's folder: a missing one counts as empty; a file in its place or an unreadable folder is an error. */
async function checkFolder(store: Store): Promise<void> {
  const entry = await stat(store.directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw MqError.from(error, store.directory)
    return undefined
  })
  if (entry === undefined || entry.isDirectory()) return
  throw MqError.of('FILE_UNREADABLE', { path: store.directory, problem: 'it is a file, and a registry is a folder' })
}

async function folders(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw MqError.from(error, directory)
    return []
  })
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
}

async function hasIndex(directory: string): Promise<boolean> {
  const entry = await stat(indexPath(directory)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw MqError.from(error, directory)
    return undefined
  })
  return entry?.isFile() === true
}

function sameName(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase()
}

function isName(text: string): boolean {
  try {
    parseModelName(text)
    return true
  } catch {
    return false
  }
}
