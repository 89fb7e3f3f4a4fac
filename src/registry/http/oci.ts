import { stat } from 'node:fs/promises'
import { acceptsWrites } from '../access/index.js'
import type { MergedModel } from '../merged-model.js'
import {
  blobPath,
  findRepository,
  isDigest,
  listRepositories,
  type ModelName,
  mediaTypes,
  type Repository,
  readBytes,
  readIndex,
  repositoryOf,
  type Store,
  tagOf,
} from '../store/index.js'
import { type HttpContext, modelOf, ociError } from './answers.js'
import { isOldLlama, llamaManifest } from './llama-manifest.js'
import { pushBlob } from './oci-blobs.js'
import { deleteManifest, putManifest } from './oci-manifests.js'
import { blobsOf, type OciRoute, type Pointer } from './oci-repository.js'
import { derivedKey, ollamaManifest } from './ollama.js'
import { sendFile } from './send-file.js'
import { type Segment, wholeFile } from './send-segments.js'
import { blobToSend, type Services } from './services.js'
import { identityOf, writerOf } from './writers.js'

const routePattern =
  /^\/v2\/(.+)\/(?:(tags)\/list|(manifests)\/([^/]+)|(uploads|blobs\/uploads)\/?([^/]*)|(blobs)\/([^/]+)|(referrers)\/([^/]+))$/

const methods: Readonly<Record<OciRoute['kind'], readonly string[]>> = {
  tags: ['GET', 'HEAD'],
  manifests: ['GET', 'HEAD', 'PUT', 'DELETE'],
  uploads: ['POST', 'PATCH', 'PUT', 'GET', 'DELETE'],
  blobs: ['GET', 'HEAD'],
  referrers: ['GET', 'HEAD'],
}

/** Handles the OCI distribution API 1.1 under /v2: pull, push, tags, referrers, deletion of manifests, catalog. */
export async function ociFace(context: HttpContext, services: Services): Promise<Response> {
  const { method } = context.req
  const path = safeDecode(context.req.path)
  const isRoot = /^\/v2\/?$/.test(path)
  const route = isRoot || path === '/v2/_catalog' ? undefined : parseRoute(path)
  if (!isRoot && path !== '/v2/_catalog' && route === undefined)
    return ociError(context, 404, 'NAME_UNKNOWN', 'there is no such address')
  const allowed = route === undefined ? ['GET', 'HEAD'] : methods[route.kind]
  if (!allowed.includes(method)) {
    context.header('Allow', allowed.join(', '))
    return ociError(context, 405, 'UNSUPPORTED', `${method} is not offered here`)
  }
  if (isRoot) return ping(context, services)
  if (route === undefined) return catalogPage(context, services.store)
  const model = ociModelOf(route.name)
  const writes = route.kind === 'uploads' || !['GET', 'HEAD'].includes(method)
  if (model === undefined)
    return ociError(context, writes ? 400 : 404, writes ? 'NAME_INVALID' : 'NAME_UNKNOWN', 'it is not the name of a model')
  if (writes) {
    const writer = await writerOf(context, services.store, model.namespace)
    if (writer === 401) return challenge(context)
    if (writer === 403) return ociError(context, 403, 'DENIED', 'the token may not write here')
    if (route.kind === 'uploads') return pushBlob(context, services, route, model)
    return method === 'PUT' ? putManifest(context, services, route, model) : deleteManifest(context, services, route, model)
  }
  const repository = context.var.mayRead(model.namespace) ? await findRepository(services.store, model) : undefined
  if (route.kind === 'blobs') return sendBlob(context, services, repository, route, model)
  if (repository === undefined) return ociError(context, 404, 'NAME_UNKNOWN', 'there is no such repository')
  if (route.kind === 'tags') return tagsPage(context, services.store, repository, route.name)
  if (route.kind === 'manifests') return sendManifest(context, services, repository, model, route.reference)
  return referrers(context, services.store, repository, route.reference)
}

function parseRoute(path: string): OciRoute | undefined {
  const [, name = '', tags, manifests, manifest = '', uploads, upload = '', blobs, blob = '', refers, subject = ''] =
    routePattern.exec(path) ?? []
  if (tags !== undefined) return { kind: 'tags', name, reference: '' }
  if (manifests !== undefined) return { kind: 'manifests', name, reference: manifest }
  if (uploads !== undefined) return { kind: 'uploads', name: name.replace(/\/blobs$/, ''), reference: upload }
  if (blobs !== undefined) return { kind: 'blobs', name, reference: blob }
  return refers === undefined ? undefined : { kind: 'referrers', name, reference: subject }
}

function safeDecode(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

/** Parses a repository name; one without a namespace is in `library`, as in Docker. */
function ociModelOf(name: string): ModelName | undefined {
  const model = modelOf(name.includes('/') ? name : `library/${name}`)
  return model && { namespace: model.namespace, name: model.name }
}

function challenge(context: HttpContext): Response {
  context.header('WWW-Authenticate', 'Basic realm="mq"')
  return ociError(context, 401, 'UNAUTHORIZED', 'writing needs a token that may write, made with `mq registry token create`')
}

/** Responds to the version check. Where writing is possible, it offers authentication: some clients send no credentials otherwise. */
async function ping(context: HttpContext, { store }: Services): Promise<Response> {
  const anonymous = context.req.header('authorization') === undefined
  const known = anonymous ? undefined : await identityOf(context, store)
  const empty = /^Basic Og==$/i.test(context.req.header('authorization') ?? '')
  if (known === undefined && !empty && (await acceptsWrites(store))) return challenge(context)
  return context.json({}, 200, { 'Docker-Distribution-Api-Version': 'registry/2.0' })
}

/** Selects a page of sorted names by `n` and `last`, and adds a Link to the next. */
function pageOf(context: HttpContext, names: readonly string[], path: string): string[] {
  const { n, last } = context.req.query()
  const most = n !== undefined && /^\d{1,9}$/.test(n) ? Number(n) : names.length
  const after = last === undefined ? names : names.filter((name) => name > last)
  const page = after.slice(0, most)
  if (page.length > 0 && page.length < after.length) {
    context.header('Link', `<${path}?n=${most}&last=${encodeURIComponent(page.at(-1) as string)}>; rel="next"`)
  }
  return page
}

async function catalogPage(context: HttpContext, store: Store): Promise<Response> {
  const readable = (await listRepositories(store)).filter((name) => context.var.mayRead(name.split('/')[0] ?? ''))
  const names = readable.map((name) => name.toLowerCase()).sort()
  return context.json({ repositories: pageOf(context, names, '/v2/_catalog') })
}

async function tagsPage(context: HttpContext, store: Store, repository: Repository, name: string): Promise<Response> {
  const { manifests } = await readIndex(store, repository)
  const tags = [...new Set(manifests.flatMap((entry) => tagOf(entry) ?? []))].sort()
  return context.json({ name, tags: pageOf(context, tags, `/v2/${name}/tags/list`) })
}

async function sendManifest(
  context: HttpContext,
  services: Services,
  repository: Repository,
  model: ModelName,
  reference: string,
): Promise<Response> {
  const { store } = services
  if (isOldLlama(context)) return llamaManifest(context, services, model, reference)
  const { manifests } = await readIndex(store, repository)
  const found = manifests.find((entry) => (isDigest(reference) ? entry.digest === reference : tagOf(entry) === reference))
  if (found === undefined) return ociError(context, 404, 'MANIFEST_UNKNOWN', `there is no manifest ${reference.slice(0, 200)}`)
  const bytes = await readBytes(store, found)
  if (context.req.header('user-agent')?.startsWith('ollama/') === true) {
    const answer = await ollamaManifest(context, services, bytes, found, model)
    if (answer !== undefined) return answer
  }
  const headers = { 'Docker-Content-Digest': found.digest }
  const contentType = found.mediaType
  return sendFile(context, { ...blobToSend(services, found.digest, found.size), contentType, headers })
}

async function sendBlob(
  context: HttpContext,
  services: Services,
  repository: Repository | undefined,
  route: OciRoute,
  model: ModelName,
): Promise<Response> {
  const { store, derived, pushed } = services
  const digest = route.reference
  const unknown = (): Response => ociError(context, 404, 'BLOB_UNKNOWN', `there is no blob ${digest.slice(0, 200)}`)
  if (!isDigest(digest)) return unknown()
  // ollama fetches the rest of the file from the URL in Location, without credentials.
  const address = `/v2/${route.name}/blobs/${digest}`
  const location = services.isPrivate ? (await services.signer()).sign('GET', address) : address
  const headers = { 'Docker-Content-Digest': digest, Location: location }
  const contentType = 'application/octet-stream'
  const made = repository === undefined ? undefined : derived.get(derivedKey(model, digest))
  if (made !== undefined) {
    const segments = 'bytes' in made ? [made] : segmentsOf(store, made.merged)
    const sizeBytes = 'bytes' in made ? made.bytes.byteLength : made.merged.sizeBytes
    return sendFile(context, { segments, digest, sizeBytes, contentType, headers })
  }
  // Only blobs that this repository references, or that were just pushed to it: a digest alone gives no access to other repositories.
  const found = repository && (await blobsOf(store, repository)).find((blob) => blob.digest === digest)
  const isPushed =
    found === undefined && pushed.has(repositoryOf(model).toLowerCase(), digest) && context.var.mayRead(model.namespace)
  const sizeBytes = found?.size ?? (isPushed ? (await stat(blobPath(store, digest)).catch(() => undefined))?.size : undefined)
  if (sizeBytes === undefined) return unknown()
  return sendFile(context, { ...blobToSend(services, digest, sizeBytes), contentType, headers })
}

function segmentsOf(store: Store, { parts, sizes }: MergedModel): Segment[] {
  return parts.map((part) => {
    if ('bytes' in part) return part
    const file = wholeFile(blobPath(store, part.digest), part.digest, sizes.get(part.digest) ?? 0)
    return { ...file, start: part.start, end: part.end }
  })
}

async function referrers(context: HttpContext, store: Store, repository: Repository, subject: string): Promise<Response> {
  if (!isDigest(subject)) return ociError(context, 400, 'DIGEST_INVALID', 'it is not a digest')
  const { manifests } = await readIndex(store, repository)
  const found = new Map<string, object>()
  for (const entry of manifests) {
    const parsed = JSON.parse((await readBytes(store, entry)).toString('utf8')) as Record<string, unknown>
    if ((parsed['subject'] as Pointer | undefined)?.digest !== subject) continue
    const config = parsed['config'] as Pointer | undefined
    const artifactType = parsed['artifactType'] ?? config?.mediaType
    const { mediaType, digest, size } = entry
    const notes = parsed['annotations']
    found.set(digest, {
      mediaType,
      digest,
      size,
      artifactType,
      annotations: notes,
    })
  }
  const wanted = context.req.query('artifactType')
  if (wanted !== undefined) context.header('OCI-Filters-Applied', 'artifactType')
  const list = [...found.values()].filter(
    (entry) => wanted === undefined || (entry as { artifactType?: string }).artifactType === wanted,
  )
  return context.body(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: list }), 200, {
    'Content-Type': mediaTypes.index,
  })
}
