import { stat } from 'node:fs/promises'
import { Hono } from 'hono'
import * as v from 'valibot'
import { MqError } from '../../errors/index.js'
import { blobPath, bodyOf, isDigest, prepareStore, repositoryOf } from '../store/index.js'
import { type AppEnv, denied, type HttpContext, hubError, modelOf } from './answers.js'
import { readBody, readJson } from './body.js'
import type { Services } from './services.js'
import { baseUrl, writerOf } from './writers.js'

const maxJsonBytes = 16 << 20
/** Maximum number of parts: their URLs are sent all at once. */
const maxParts = 1000
const mebibyte = 1 << 20

const batchSchema = v.looseObject({
  operation: v.picklist(['upload', 'download']),
  transfers: v.nullish(v.array(v.string())),
  objects: v.pipe(
    v.array(
      v.looseObject({
        oid: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
        size: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
      }),
    ),
    v.maxLength(1000),
  ),
})

/** An object to upload. */
interface Wanted {
  readonly repository: string
  readonly oid: string
  readonly size: number
}

/**
 * Creates the Git LFS API that Hugging Face clients use: a batch of objects, then one PUT for each or, where the client offers `multipart`, a PUT for
 * each part of a large one and a POST at the end. Clients send no credentials there, so the URLs are signed.
 * Source: huggingface_hub, lfs.py; @huggingface/hub, commit.ts.
 */
export function lfsFace(services: Services): Hono<AppEnv> {
  const app = new Hono<AppEnv>()
  const { store } = services

  app.post('/:namespace/:git{.+\\.git}/info/lfs/objects/batch', async (context) => {
    const model = modelOf(`${context.req.param('namespace')}/${context.req.param('git').replace(/\.git$/, '')}`)
    if (model === undefined) return hubError(context, 'RepoNotFound', 'Repository not found')
    const writer = await writerOf(context, store, model.namespace)
    if (writer === 401 || writer === 403) return denied(context, writer)
    const asked = v.safeParse(batchSchema, await readJson(context, maxJsonBytes))
    if (!asked.success || asked.output.operation !== 'upload')
      return context.json({ message: 'Only uploads are batched here.' }, 422)
    await prepareStore(store)
    const inParts = asked.output.transfers?.includes('multipart') === true
    const repository = repositoryOf(model).toLowerCase()
    const objects: { actions?: { upload: { header: object } } }[] = []
    for (const { oid, size } of asked.output.objects) {
      objects.push(await actionsFor(context, services, { repository, oid, size }, inParts))
    }
    const isMultipart = objects.some(({ actions }) => 'chunk_size' in (actions?.upload.header ?? {}))
    return context.json({ transfer: isMultipart ? 'multipart' : 'basic', objects, hash_algo: 'sha256' }, 200, {
      'Content-Type': 'application/vnd.git-lfs+json',
    })
  })

  app.put('/lfs/:namespace/:name/:oid', async (context) => {
    const wanted = await signedFor(context, services, 'PUT')
    if (wanted instanceof Response) return wanted
    const { oid, size, repository } = wanted
    const digest = `sha256:${oid}`
    const announced = context.req.header('content-length')
    if (announced !== undefined && Number(announced) !== size)
      return context.json({ error: `${size} bytes were announced.` }, 400)
    const upload = await services.uploads.begin(repository, size)
    try {
      await upload.append(bodyOf(context.env.incoming))
      if (upload.size === size && (await upload.finish(digest, await services.pinFor(digest))))
        return context.body(null, 200, { ETag: `"${oid}"` })
      await services.unpin([digest])
      return context.json({ error: 'The content has another digest or another length.' }, 400)
    } finally {
      await upload.cancel()
    }
  })

  app.put('/lfs/:namespace/:name/:oid/parts/:part', async (context) => {
    const wanted = await signedFor(context, services, 'PUT')
    if (wanted instanceof Response) return wanted
    const upload = services.uploads.findParts(wanted.repository, `sha256:${wanted.oid}`)
    const part = Number(context.req.param('part'))
    if (upload === undefined || !Number.isInteger(part) || part < 1 || part > upload.parts)
      return context.json({ error: 'There is no such upload, or it was given up: begin again.' }, 404)
    if (await upload.write(part, bodyOf(context.env.incoming)))
      return context.body(null, 200, { ETag: `"${wanted.oid.slice(0, 32)}-${part}"` })
    return context.json({ error: 'The part has another length.' }, 400)
  })

  app.post('/lfs/:namespace/:name/:oid/parts', async (context) => {
    const wanted = await signedFor(context, services, 'POST')
    if (wanted instanceof Response) return wanted
    await readBody(context, maxJsonBytes)
    const digest = `sha256:${wanted.oid}`
    const upload = services.uploads.findParts(wanted.repository, digest)
    // A client that lost the response sends the request again.
    if (upload === undefined && (await isStored(services, wanted))) return context.json({})
    if (upload === undefined) return context.json({ error: 'There is no such upload, or it was given up: begin again.' }, 404)
    const { socket } = context.env.incoming
    // The connection is idle while the rest is hashed.
    const timeout = socket.timeout ?? 0
    socket.setTimeout(0)
    const outcome = await upload.finish(await services.pinFor(digest)).finally(() => socket.setTimeout(timeout))
    if (outcome === 'stored') return context.json({})
    await services.unpin([digest])
    return context.json({ error: outcome === 'missing' ? 'Parts are missing.' : 'The content has another digest.' }, 400)
  })

  return app
}

/** Returns the requests that a client has to make for an object: none where it is stored already. */
async function actionsFor(context: HttpContext, services: Services, wanted: Wanted, inParts: boolean): Promise<object> {
  const { repository, oid, size } = wanted
  const digest = `sha256:${oid}`
  if (await isStored(services, wanted)) {
    // The client will only reference it.
    await services.pinFor(digest).then((pin) => pin.add(digest))
    return { oid, size }
  }
  const signer = await services.signer()
  const address = (method: string, path: string): string =>
    `${baseUrl(context)}${signer.sign(method, `/lfs/${repository}/${oid}${path}?size=${size}`)}`
  const upload = (href: string, header: object): object => ({
    oid,
    size,
    authenticated: true,
    actions: { upload: { href, header } },
  })
  const { partBytes } = services
  if (!inParts || size <= 2 * partBytes) return upload(address('PUT', ''), {})
  const chunk = Math.max(partBytes, Math.ceil(size / maxParts / mebibyte) * mebibyte)
  const { parts } = await services.uploads.beginParts(repository, digest, size, chunk)
  const numbers = Array.from({ length: parts }, (_, index) => index + 1)
  const header = Object.fromEntries(numbers.map((part) => [String(part).padStart(5, '0'), address('PUT', `/parts/${part}`)]))
  return upload(address('POST', '/parts'), { chunk_size: String(chunk), ...header })
}

/** Returns the object that a signed URL is for, or the error response where it was not signed here or has expired. */
async function signedFor(context: HttpContext, services: Services, method: string): Promise<Wanted | Response> {
  const { namespace = '', name = '', oid = '' } = context.req.param() as Record<string, string>
  const signer = await services.signer()
  if (!signer.isValid(method, context.env.incoming.url ?? ''))
    return context.json({ error: 'The address has expired, or was not made here.' }, 403)
  if (!isDigest(`sha256:${oid}`)) throw MqError.of('UPLOAD_REFUSED', { problem: 'it has no digest' })
  return { repository: `${namespace}/${name}`.toLowerCase(), oid, size: Number(context.req.query('size')) }
}

async function isStored({ store }: Services, { oid, size }: Wanted): Promise<boolean> {
  return (await stat(blobPath(store, `sha256:${oid}`)).catch(() => undefined))?.size === size
}
