import { stat } from 'node:fs/promises'
import { MqError } from '../errors/index.js'
import { isRelativePath } from '../files/index.js'
import { addManifest, fileLayer } from './model-manifest.js'
import {
  addBytes,
  annotations,
  blobPath,
  type Descriptor,
  fetchFromTrash,
  findRepository,
  limits,
  type ModelName,
  mediaTypes,
  type Pin,
  pinBlobs,
  prepareStore,
  readIndex,
  readManifest,
  removeEntries,
  repositoryOf,
  type Store,
  tagOf,
  updateIndex,
} from './store/index.js'

const attempts = 5

/** One change of a revision's files. */
export type FileChange =
  | { readonly kind: 'add'; readonly path: string; readonly content: Uint8Array }
  /** A blob that was uploaded before. */
  | { readonly kind: 'point'; readonly path: string; readonly digest: string; readonly sizeBytes: number }
  | { readonly kind: 'delete'; readonly path: string; readonly folder: boolean }

/**
 * Changes the files of a tag atomically: a Hugging Face revision is a tag here, and its files are the layers of the tag's manifest.
 * @param model with its tag.
 * @throws MqError COMMIT_REFUSED where a path is invalid or its blob is missing; REGISTRY_LIMIT, REGISTRY_CORRUPT, REGISTRY_BUSY.
 */
export async function commitFiles(store: Store, model: ModelName, changes: readonly FileChange[]): Promise<void> {
  await prepareStore(store)
  const pin = await pinBlobs(store)
  try {
    for (let attempt = 1; !(await tryCommit(store, model, changes, pin)); attempt++) {
      if (attempt === attempts) throw MqError.of('REGISTRY_BUSY', { path: store.directory })
    }
  } finally {
    await pin.release()
  }
}

/** Tries to commit once. @returns false where another writer has moved the tag meanwhile. */
async function tryCommit(store: Store, model: ModelName, changes: readonly FileChange[], pin: Pin): Promise<boolean> {
  const tag = model.tag as string
  const before = await currentEntry(store, model, tag)
  const files = before === undefined ? new Map<string, FileBlob>() : filesOf((await readManifest(store, before)).layers)
  for (const change of changes) await apply(store, files, change, pin)
  if (files.size > limits.layers)
    throw MqError.of('REGISTRY_LIMIT', { name: repositoryOf(model), problem: `it would have ${files.size} files` })
  if (files.size === 0) {
    const repository = await findRepository(store, model)
    if (repository !== undefined) await removeEntries(store, repository, (entry) => tagOf(entry) !== tag)
    return true
  }
  const format = [...files.keys()].some((path) => path.endsWith('.gguf')) ? ('gguf' as const) : ('safetensors' as const)
  const sizeBytes = [...files.values()].reduce((sum, { size }) => sum + size, 0)
  const layers = [...files].sort(([a], [b]) => (a < b ? -1 : 1)).map(([path, blob]) => layerOf(path, blob))
  const { descriptor, manifest } = await addManifest(store, { format, sizeBytes, files: [], defaultTag: tag }, layers, pin)
  const state = { moved: false }
  const needs = [descriptor.digest, manifest.config.digest, ...layers.map(({ digest }) => digest)]
  await updateIndex(
    store,
    model,
    (index) => {
      const now = index.manifests.find((entry) => tagOf(entry) === tag)
      state.moved = now?.digest !== before?.digest
      if (state.moved) return index
      const others = index.manifests.filter((entry) => tagOf(entry) !== tag)
      return { ...index, manifests: [...others, { ...descriptor, annotations: { [annotations.tag]: tag } }] }
    },
    { needs },
  )
  return !state.moved
}

interface FileBlob {
  readonly digest: string
  readonly size: number
  readonly mediaType?: string
}

async function currentEntry(store: Store, model: ModelName, tag: string): Promise<Descriptor | undefined> {
  const repository = await findRepository(store, model)
  if (repository === undefined) return undefined
  return (await readIndex(store, repository)).manifests.find(
    (entry) => tagOf(entry) === tag && entry.mediaType === mediaTypes.manifest,
  )
}

function filesOf(layers: readonly Descriptor[]): Map<string, FileBlob> {
  const files = new Map<string, FileBlob>()
  for (const { annotations: notes, digest, size, mediaType } of layers) {
    const path = notes?.[annotations.title]
    if (path !== undefined) files.set(path, { digest, size, mediaType })
  }
  return files
}

/** Makes the layer of a file: a GGUF is a layer of weights whatever else is in the folder; other files are as in a checkpoint. */
function layerOf(path: string, { digest, size, mediaType }: FileBlob): Descriptor {
  const layer = fileLayer({ format: path.endsWith('.gguf') ? 'gguf' : 'safetensors' }, path, { digest, size })
  return mediaType === undefined ? layer : { ...layer, mediaType }
}

async function apply(store: Store, files: Map<string, FileBlob>, change: FileChange, pin: Pin): Promise<void> {
  const refuse = (problem: string): MqError => MqError.of('COMMIT_REFUSED', { path: change.path.slice(0, 200), problem })
  if (!isRelativePath(change.path)) throw refuse('it is not a path within a repository')
  if (change.kind === 'delete') {
    const gone = [...files.keys()].filter((path) => path === change.path || (change.folder && path.startsWith(`${change.path}/`)))
    if (gone.length === 0 && !change.folder) throw refuse('it is not there')
    for (const path of gone) files.delete(path)
    return
  }
  const clash = [...files.keys()].find((path) => path.startsWith(`${change.path}/`) || change.path.startsWith(`${path}/`))
  if (clash !== undefined) throw refuse(`${clash} is there, and a name is a file or a folder`)
  if (change.kind === 'add') {
    files.set(change.path, await addBytes(store, change.content, pin))
    return
  }
  await pin.add(change.digest)
  await fetchFromTrash(store, change.digest)
  const present = await stat(blobPath(store, change.digest)).catch(() => undefined)
  if (present?.size !== change.sizeBytes) throw refuse('its content was not uploaded')
  files.set(change.path, { digest: change.digest, size: change.sizeBytes })
}
