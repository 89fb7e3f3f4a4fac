import { createHash } from 'node:crypto'
import { shardName } from '../../../formats/gguf/index.js'
import { MqError } from '../../errors/index.js'
import { isRelativePath } from '../../files/index.js'
import { readBytes } from './blobs.js'
import { annotations, type Descriptor, limits, type Manifest, manifestTypes, parseManifest, tagOf } from './manifest.js'
import { type Repository, readIndex } from './repository.js'
import type { Store } from './store.js'

/** A file of a revision. */
export interface SnapshotFile {
  /** Path within the repository, such as `llama-Q4_K_M.gguf`. */
  readonly path: string
  readonly mediaType: string
  readonly digest: string
  readonly sizeBytes: number
}

/** The files of a revision at one time. */
export interface Snapshot {
  /** 40 hexadecimal digits, computed from the paths and contents of the files only: the same files have the same commit anywhere. */
  readonly commit: string
  readonly files: readonly SnapshotFile[]
}

/** A tag with its manifest. */
export interface Tagged {
  readonly tag: string
  readonly descriptor: Descriptor
  readonly manifest: Manifest
  /** Place in the order in which tags were last published, counted from 0. */
  readonly order: number
}

/** A tag whose manifest cannot be read. */
export interface DamagedTag {
  readonly tag: string
  readonly problem: string
}

/** Revisions of a repository for Hugging Face clients: `main` has the files of all tags, and each tag is a revision. */
export interface Revisions {
  readonly main: Snapshot
  readonly tags: ReadonlyMap<string, Snapshot>
  /** Tags that cannot be read; `main` does not include them. */
  readonly damaged: readonly DamagedTag[]
}

const rememberedManifests = 512
// Content under a digest never changes, so it is cached.
const known = new Map<string, Manifest>()

/**
 * Reads all tags of a repository with their manifests, shorter tags first; those with a damaged manifest are listed apart.
 * @throws MqError REGISTRY_CORRUPT where index.json is invalid.
 */
export async function readTags(store: Store, repository: Repository): Promise<{ tagged: Tagged[]; damaged: DamagedTag[] }> {
  const { manifests } = await readIndex(store, repository)
  const tags = new Map<string, Omit<Tagged, 'tag' | 'manifest'>>()
  for (const [order, descriptor] of manifests.entries()) {
    const tag = tagOf(descriptor)
    if (tag !== undefined && isManifest(descriptor)) tags.set(tag, { descriptor, order })
  }
  const tagged: Tagged[] = []
  const damaged: DamagedTag[] = []
  // Many tags may point to one manifest, and all are read at once.
  const reading = new Map<string, Promise<Manifest>>()
  const read = (descriptor: Descriptor): Promise<Manifest> => {
    const begun = reading.get(descriptor.digest) ?? readManifest(store, descriptor)
    reading.set(descriptor.digest, begun)
    return begun
  }
  await Promise.all(
    [...tags].map(async ([tag, rest]) => {
      try {
        tagged.push({ tag, ...rest, manifest: await read(rest.descriptor) })
      } catch (error) {
        if (MqError.from(error).code !== 'REGISTRY_CORRUPT') throw error
        damaged.push({ tag, problem: (error as MqError).message })
      }
    }),
  )
  return { tagged: tagged.sort(byTag), damaged }
}

function isManifest({ mediaType }: Descriptor): boolean {
  return manifestTypes.some((type) => type === mediaType)
}

/** Reads the manifest of a descriptor. @throws MqError REGISTRY_CORRUPT. */
export async function readManifest(store: Store, descriptor: Descriptor): Promise<Manifest> {
  const key = `${store.directory}\n${descriptor.digest}`
  const remembered = known.get(key)
  if (remembered !== undefined) return remembered
  if (descriptor.size > limits.manifestBytes) {
    throw MqError.of('REGISTRY_CORRUPT', { path: store.directory, problem: `the manifest has ${descriptor.size} bytes` })
  }
  const manifest = parseManifest(store, await readBytes(store, descriptor), descriptor.digest)
  for (const oldest of known.keys()) {
    if (known.size < rememberedManifests) break
    known.delete(oldest)
  }
  known.set(key, manifest)
  return manifest
}

/** Layers that are files although no title says how they are called: those that Docker's model runner and ollama push. */
const unnamedFiles: Readonly<Record<string, 'model' | 'mmproj'>> = {
  'application/vnd.docker.ai.gguf.v3': 'model',
  'application/vnd.docker.ai.mmproj': 'mmproj',
  'application/vnd.ollama.image.model': 'model',
  'application/vnd.ollama.image.projector': 'mmproj',
}

/** Lists the files of a tag, in the order of its manifest. Several models without titles are shards. */
function snapshotOf({ layers }: Manifest, name: string, tag: string): Snapshot {
  const stem = `${name}-${tag}`
  const unnamed = layers.filter((layer) => titleOf(layer) === undefined)
  const models = unnamed.filter(({ mediaType }) => unnamedFiles[mediaType] === 'model')
  const nameOf = (layer: Descriptor): string | undefined => {
    const kind = unnamedFiles[layer.mediaType]
    if (kind === 'mmproj') return `mmproj-${stem}.gguf`
    if (kind === undefined) return undefined
    return models.length > 1 ? shardName(stem, models.indexOf(layer), models.length) : `${stem}.gguf`
  }
  const files = layers.flatMap((layer) => {
    const path = titleOf(layer) ?? nameOf(layer)
    const { mediaType, digest, size } = layer
    return path !== undefined && isRelativePath(path) ? [{ path, mediaType, digest, sizeBytes: size }] : []
  })
  return { commit: commitOf(files), files }
}

function titleOf({ annotations: notes }: Descriptor): string | undefined {
  return notes?.[annotations.title]
}

/**
 * Reads all revisions of a repository. Where two tags have a file of the same path, `main` has that of the tag `main`, else of the one
 * published last. @throws MqError REGISTRY_CORRUPT.
 */
export async function readRevisions(store: Store, repository: Repository): Promise<Revisions> {
  const { tagged, damaged } = await readTags(store, repository)
  const files = new Map<string, { file: SnapshotFile; rank: number }>()
  const tags = new Map<string, Snapshot>()
  for (const { tag, manifest, order } of tagged) {
    const snapshot = snapshotOf(manifest, repository.name.slice(repository.name.indexOf('/') + 1), tag)
    const rank = tag === 'main' ? Number.POSITIVE_INFINITY : order
    tags.set(tag, snapshot)
    for (const file of snapshot.files) {
      if ((files.get(file.path)?.rank ?? -1) < rank) files.set(file.path, { file, rank })
    }
  }
  const union = [...files.values()].map(({ file }) => file)
  return { main: { commit: commitOf(union), files: union }, tags, damaged }
}

/**
 * llama.cpp takes the first file whose path matches `TAG[.-]` unanchored, so `F16` would find `x-BF16.gguf` if that came first.
 * A tag that ends or continues another is longer than it; shorter tags first gives each tag its own file.
 */
function byTag(a: Tagged, b: Tagged): number {
  return a.tag.length - b.tag.length || (a.tag < b.tag ? -1 : 1)
}

function commitOf(files: readonly SnapshotFile[]): string {
  const lines = files.map(({ path, digest, sizeBytes }) => `${path}\0${digest}\0${sizeBytes}\n`).sort()
  return createHash('sha1').update(lines.join('')).digest('hex')
}
