import type { HttpBindings } from '@hono/node-server'
import { Hono } from 'hono'
import { blobPath, type Descriptor, isDigest, mediaTypes, readTags, type Tagged } from '../store/index.js'
import { type HttpContext, ociError } from './answers.js'
import type { Catalog } from './catalog.js'
import { sendFile } from './send-file.js'

/** Reading by OCI clients, under /v2: manifests, blobs and tags. Source: the "Pull" section of the OCI distribution specification 1.1. */
export function ociPull(catalog: Catalog): Hono<{ Bindings: HttpBindings }> {
  const app = new Hono<{ Bindings: HttpBindings }>()

  app.get('/', (context) => context.json({}, 200, { 'Docker-Distribution-Api-Version': 'registry/2.0' }))

  app.get('/:namespace/:name/tags/list', async (context) => {
    const tagged = await tagsOf(context, catalog)
    if (tagged === undefined) return noRepository(context)
    const name = `${context.req.param('namespace')}/${context.req.param('name')}`
    return context.json({ name, tags: tagged.map(({ tag }) => tag).sort() })
  })

  app.get('/:namespace/:name/manifests/:reference', async (context) => {
    const tagged = await tagsOf(context, catalog)
    if (tagged === undefined) return noRepository(context)
    const reference = context.req.param('reference')
    await checkTag(context, catalog, reference)
    const found = tagged.find(({ tag, descriptor }) => reference === tag || reference === descriptor.digest)
    return found === undefined
      ? ociError(context, 'MANIFEST_UNKNOWN', `there is no manifest ${reference.slice(0, 200)}`)
      : send(context, catalog, found.descriptor, mediaTypes.manifest)
  })

  app.get('/:namespace/:name/blobs/:digest', async (context) => {
    const tagged = await tagsOf(context, catalog)
    if (tagged === undefined) return noRepository(context)
    const digest = context.req.param('digest')
    // Only what this repository points to: a digest alone opens no other repository.
    const found = isDigest(digest) ? tagged.flatMap(blobsOf).find((blob) => blob.digest === digest) : undefined
    return found === undefined
      ? ociError(context, 'BLOB_UNKNOWN', `there is no blob ${digest.slice(0, 200)}`)
      : send(context, catalog, found, 'application/octet-stream')
  })

  return app
}

async function tagsOf(context: HttpContext, catalog: Catalog): Promise<Tagged[] | undefined> {
  const entry = await catalog.find(context.req.param('namespace') ?? '', context.req.param('name') ?? '')
  return entry === undefined ? undefined : (await readTags(catalog.store, entry.repository)).tagged
}

/** @throws MqError REGISTRY_CORRUPT where the manifest of a tag is damaged. */
async function checkTag(context: HttpContext, catalog: Catalog, reference: string): Promise<void> {
  const entry = await catalog.find(context.req.param('namespace') ?? '', context.req.param('name') ?? '')
  if (entry !== undefined) catalog.revision(entry, reference)
}

function noRepository(context: HttpContext): Response {
  return ociError(context, 'NAME_UNKNOWN', 'there is no such repository')
}

function blobsOf({ manifest }: Tagged): Descriptor[] {
  return [manifest.config, ...manifest.layers]
}

function send(context: HttpContext, { store }: Catalog, { digest, size }: Descriptor, contentType: string): Promise<Response> {
  const headers = { 'Docker-Content-Digest': digest }
  return sendFile(context, { path: blobPath(store, digest), digest, sizeBytes: size, contentType, headers })
}
