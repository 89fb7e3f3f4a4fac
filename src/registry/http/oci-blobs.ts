import {
  bodyOf,
  findRepository,
  isDigest,
  type ModelName,
  parseModelName,
  prepareStore,
  repositoryOf,
  type Upload,
} from '../store/index.js'
import { type HttpContext, ociError } from './answers.js'
import { blobsOf, type OciRoute } from './oci-repository.js'
import type { Services } from './services.js'
import { baseUrl } from './writers.js'

/** Handles uploads of blobs: whole, in chunks, or mounted from another repository. Source: "Push" in the OCI distribution specification 1.1. */
export async function pushBlob(context: HttpContext, services: Services, route: OciRoute, model: ModelName): Promise<Response> {
  const { method } = context.req
  const repository = repositoryOf(model).toLowerCase()
  if (method === 'POST') return route.reference === '' ? begin(context, services, route, repository) : unknown(context)
  const upload = services.uploads.find(route.reference, repository)
  if (upload === undefined) return unknown(context)
  if (method === 'GET') return progress(context, route, upload, 204)
  if (method === 'DELETE') {
    await upload.cancel()
    return context.body(null, 204)
  }
  const start = /^(?:bytes[ =])?(\d+)-\d+/.exec(context.req.header('content-range') ?? '')?.[1]
  if (start !== undefined && Number(start) !== upload.size) return progress(context, route, upload, 416)
  await upload.append(bodyOf(context.env.incoming))
  return method === 'PATCH' ? progress(context, route, upload, 202) : finish(context, services, route, upload)
}

async function begin(context: HttpContext, services: Services, route: OciRoute, repository: string): Promise<Response> {
  const { mount, from, digest } = context.req.query()
  await prepareStore(services.store)
  if (mount !== undefined && from !== undefined && (await isMountable(context, services, from, mount))) {
    await services.pinFor(mount).then((pin) => pin.add(mount))
    services.pushed.add(repository, mount)
    return created(context, route, mount)
  }
  const upload = await services.uploads.begin(repository, Number(context.req.header('content-length')) || 0)
  if (digest === undefined) return progress(context, route, upload, 202)
  try {
    await upload.append(bodyOf(context.env.incoming))
    return await finish(context, services, route, upload)
  } finally {
    // An upload in one request cannot be resumed.
    await upload.cancel()
  }
}

async function isMountable(context: HttpContext, services: Services, from: string, digest: string): Promise<boolean> {
  const { store, pushed } = services
  try {
    const model = parseModelName(from.includes('/') ? from : `library/${from}`)
    if (!context.var.mayRead(model.namespace)) return false
    if (pushed.has(repositoryOf(model).toLowerCase(), digest)) return true
    const repository = await findRepository(store, model)
    return repository !== undefined && (await blobsOf(store, repository)).some((blob) => blob.digest === digest)
  } catch {
    return false
  }
}

async function finish(context: HttpContext, services: Services, route: OciRoute, upload: Upload): Promise<Response> {
  const digest = context.req.query('digest') ?? ''
  if (!isDigest(digest)) {
    await upload.cancel()
    return ociError(context, 400, 'DIGEST_INVALID', 'digest has to be sha256: and 64 hexadecimal digits')
  }
  if (await upload.finish(digest, await services.pinFor(digest))) {
    services.pushed.add(upload.repository, digest)
    return created(context, route, digest)
  }
  await services.unpin([digest])
  return ociError(context, 400, 'DIGEST_INVALID', 'the content has another digest')
}

function created(context: HttpContext, { name }: OciRoute, digest: string): Response {
  const headers = { Location: `${baseUrl(context)}/v2/${name}/blobs/${digest}`, 'Docker-Content-Digest': digest }
  return context.body(null, 201, headers)
}

function progress(context: HttpContext, { name }: OciRoute, upload: Upload, status: 202 | 204 | 416): Response {
  const headers = {
    Location: `${baseUrl(context)}/v2/${name}/blobs/uploads/${upload.id}`,
    Range: `0-${Math.max(0, upload.size - 1)}`,
    'Docker-Upload-UUID': upload.id,
  }
  return context.body(null, status, headers)
}

function unknown(context: HttpContext): Response {
  return ociError(context, 404, 'BLOB_UPLOAD_UNKNOWN', 'there is no such upload')
}
