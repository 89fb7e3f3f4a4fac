import { stat } from 'node:fs/promises'
import { MqError } from '../../errors/index.js'
import { blobPath, isDigest, readBytes } from './blobs.js'
import { type Descriptor, limits, mediaTypes } from './manifest.js'
import { parseModelName } from './model-name.js'
import { readPins } from './pins.js'
import { findRepository, listRepositories, readIndex } from './repository.js'
import type { Store } from './store.js'
import { fetchFromTrash } from './trash.js'

/** Media types of manifests, which reference further blobs. */
const pointing = new Set<string>([mediaTypes.manifest, mediaTypes.index, mediaTypes.dockerManifest, mediaTypes.dockerIndex])

/**
 * Collects the digests that tags, untagged index entries and active writers reference. Referenced manifests are restored from the trash.
 * @throws MqError REGISTRY_CORRUPT where an index or a manifest cannot be read, so that its references are unknown.
 */
export async function reach(store: Store): Promise<Set<string>> {
  const reached = await readPins(store)
  for (const name of await listRepositories(store)) {
    const repository = await findRepository(store, parseModelName(name))
    if (repository === undefined) continue
    const { manifests } = await readIndex(store, repository)
    for (const descriptor of manifests) await visit(store, descriptor, reached)
  }
  return reached
}

async function visit(
  store: Store,
  descriptor: Pick<Descriptor, 'digest' | 'size' | 'mediaType'>,
  reached: Set<string>,
): Promise<void> {
  if (reached.has(descriptor.digest) && !pointing.has(descriptor.mediaType)) return
  reached.add(descriptor.digest)
  if (!pointing.has(descriptor.mediaType) || descriptor.size > limits.manifestBytes) return
  // A collection moved this manifest to the trash; a tag may reference it since, before its writer has restored it.
  if (!(await isPresent(store, descriptor.digest))) await fetchFromTrash(store, descriptor.digest)
  for (const inner of descriptorsIn(await readBytes(store, descriptor), descriptor.digest, store)) {
    if (reached.has(inner.digest) && !pointing.has(inner.mediaType)) continue
    // A listed manifest may be absent: another platform of an image index, or a subject that was never pushed.
    if (!pointing.has(inner.mediaType) || (await isPresent(store, inner.digest))) await visit(store, inner, reached)
  }
}

function isPresent(store: Store, digest: string): Promise<boolean> {
  return stat(blobPath(store, digest)).then(
    () => true,
    () => false,
  )
}

/** Lists the descriptors of a manifest or an image index: configuration, layers, manifests, subject. */
export function descriptorsIn(
  bytes: Uint8Array,
  name: string,
  store: Store,
): Pick<Descriptor, 'digest' | 'size' | 'mediaType'>[] {
  try {
    const { config, layers, manifests, subject } = JSON.parse(Buffer.from(bytes).toString('utf8')) as Record<string, unknown>
    const all = [config, ...(Array.isArray(layers) ? layers : []), ...(Array.isArray(manifests) ? manifests : []), subject]
    return all.filter(isDescriptor)
  } catch (error) {
    throw MqError.of('REGISTRY_CORRUPT', { path: store.directory, problem: `manifest ${name}: it is not JSON` }, { cause: error })
  }
}

function isDescriptor(value: unknown): value is Pick<Descriptor, 'digest' | 'size' | 'mediaType'> {
  const { digest, size, mediaType } = (value ?? {}) as Record<string, unknown>
  return typeof digest === 'string' && isDigest(digest) && typeof size === 'number' && typeof mediaType === 'string'
}
