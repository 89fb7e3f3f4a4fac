import { stat } from 'node:fs/promises'
import {
  addBytes,
  annotations,
  blobPath,
  type Descriptor,
  descriptorsIn,
  digestOf,
  fetchFromTrash,
  findRepository,
  isDigest,
  limits,
  type ModelName,
  mediaTypes,
  parseModelName,
  prepareStore,
  removeEntries,
  repositoryOf,
  type Store,
  tagOf,
  updateIndex,
} from '../store/index.js'
import { type HttpContext, ociError } from './answers.js'
import { readBody } from './body.js'
import type { OciRoute } from './oci-repository.js'
import type { Services } from './services.js'
import { baseUrl } from './writers.js'

const accepted: readonly string[] = [mediaTypes.manifest, mediaTypes.index, mediaTypes.dockerManifest, mediaTypes.dockerIndex]

/** Stores a manifest byte for byte, if all blobs that it references exist, and moves the tag to it. */
export async function putManifest(
  context: HttpContext,
  services: Services,
  route: OciRoute,
  model: ModelName,
): Promise<Response> {
  const { store } = services
  const bytes = await readBody(context, limits.manifestBytes)
  const digest = digestOf(bytes)
  const invalid = (message: string): Response => ociError(context, 400, 'MANIFEST_INVALID', message)
  const parsed = parse(bytes)
  if (parsed === undefined) return invalid('it is not a manifest of version 2')
  const mediaType = context.req.header('content-type')?.split(';')[0]?.trim() || parsed.mediaType || mediaTypes.manifest
  if (!accepted.includes(mediaType)) return invalid(`manifests of type ${mediaType.slice(0, 100)} are not taken`)
  if (parsed.mediaType !== undefined && parsed.mediaType !== mediaType) return invalid('its mediaType is not its Content-Type')
  const tag = isDigest(route.reference) ? undefined : route.reference
  if (tag === undefined && route.reference !== digest)
    return ociError(context, 400, 'DIGEST_INVALID', 'the manifest has another digest')
  if (tag !== undefined && !isTag(model, tag)) return ociError(context, 400, 'TAG_INVALID', 'it is not a tag')
  const isImage = mediaType === mediaTypes.manifest || mediaType === mediaTypes.dockerManifest
  if (isImage && (parsed.config === undefined || !Array.isArray(parsed.layers))) return invalid('it has no config or no layers')
  if ((parsed.layers?.length ?? 0) > limits.layers) return invalid(`it has more than ${limits.layers} layers`)

  const pointers = descriptorsIn(bytes, digest, store).filter((pointer) => pointer.digest !== parsed.subject?.digest)
  const count = (parsed.layers?.length ?? 0) + (parsed.config === undefined ? 0 : 1) + (parsed.manifests?.length ?? 0)
  if (pointers.length < count - (parsed.subject === undefined ? 0 : 1)) return invalid('one of its descriptors is invalid')
  for (const pointer of pointers) {
    const size = await sizeOf(store, pointer.digest)
    if (size === undefined) return ociError(context, 404, 'MANIFEST_BLOB_UNKNOWN', `the blob ${pointer.digest} is not there`)
    if (size !== pointer.size) return ociError(context, 400, 'SIZE_INVALID', `the blob ${pointer.digest} has ${size} bytes`)
  }
  await prepareStore(store)
  const pin = await services.pinFor(digest)
  await addBytes(store, bytes, pin)
  const needs = [digest, ...pointers.map((pointer) => pointer.digest)]
  const entry: Descriptor = { mediaType, digest, size: bytes.byteLength }
  await updateIndex(store, model, (index) => ({ ...index, manifests: withEntry(index.manifests, entry, tag) }), { needs })
  await services.unpin(needs)
  context.header('Location', `${baseUrl(context)}/v2/${route.name}/manifests/${digest}`)
  context.header('Docker-Content-Digest', digest)
  if (parsed.subject !== undefined) context.header('OCI-Subject', parsed.subject.digest)
  return context.body(null, 201)
}

/** Deletes a tag, or a manifest with all its tags. */
export async function deleteManifest(
  context: HttpContext,
  { store }: Services,
  route: OciRoute,
  model: ModelName,
): Promise<Response> {
  const { reference } = route
  const repository = await findRepository(store, model)
  if (repository === undefined) return ociError(context, 404, 'NAME_UNKNOWN', 'there is no such repository')
  const gone = await removeEntries(store, repository, (entry) =>
    isDigest(reference) ? entry.digest !== reference : tagOf(entry) !== reference,
  )
  if (gone.length === 0) return ociError(context, 404, 'MANIFEST_UNKNOWN', 'there is no such manifest')
  return context.body(null, 202)
}

interface ParsedManifest {
  readonly mediaType?: string
  readonly config?: unknown
  readonly layers?: readonly unknown[]
  readonly manifests?: readonly unknown[]
  readonly subject?: { readonly digest: string }
}

function parse(bytes: Uint8Array): ParsedManifest | undefined {
  try {
    const parsed = JSON.parse(Buffer.from(bytes).toString('utf8')) as ParsedManifest & { schemaVersion?: unknown }
    const lists = [parsed.layers ?? [], parsed.manifests ?? []]
    const subject = parsed.subject?.digest
    if (parsed.schemaVersion !== 2 || !lists.every(Array.isArray) || !['string', 'undefined'].includes(typeof parsed.mediaType))
      return undefined
    return subject !== undefined && !isDigest(subject) ? undefined : parsed
  } catch {
    return undefined
  }
}

function isTag(model: ModelName, tag: string): boolean {
  try {
    return parseModelName(`${repositoryOf(model)}:${tag}`).tag === tag
  } catch {
    return false
  }
}

async function sizeOf(store: Store, digest: string): Promise<number | undefined> {
  const look = async (): Promise<number | undefined> => (await stat(blobPath(store, digest)).catch(() => undefined))?.size
  const size = await look()
  if (size !== undefined) return size
  await fetchFromTrash(store, digest)
  return look()
}

/** Moves the tag's entry to the end: the order of index.json is the order of publishing. */
function withEntry(entries: readonly Descriptor[], entry: Descriptor, tag: string | undefined): Descriptor[] {
  if (tag === undefined) return entries.some(({ digest }) => digest === entry.digest) ? [...entries] : [...entries, entry]
  const others = entries.filter((other) => tagOf(other) !== tag && !(tagOf(other) === undefined && other.digest === entry.digest))
  return [...others, { ...entry, annotations: { [annotations.tag]: tag } }]
}
