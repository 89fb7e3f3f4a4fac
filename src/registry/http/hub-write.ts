import { stat } from 'node:fs/promises'
import type { HttpBindings } from '@hono/node-server'
import { Hono } from 'hono'
import * as v from 'valibot'
import { MqError } from '../../errors/index.js'
import { commitFiles, type FileChange } from '../commit.js'
import { removeModel } from '../remove.js'
import {
  blobPath,
  bodyOf,
  findRepository,
  isDigest,
  type ModelName,
  parseModelName,
  prepareStore,
  repositoryOf,
} from '../store/index.js'
import { type HttpContext, hubError } from './answers.js'
import { readBody, readJson } from './body.js'
import type { Services } from './services.js'
import { baseUrl, identityOf, writerOf } from './writers.js'

/** Larger files are uploaded as blobs, smaller ones within the commit. */
const inlineBytes = 64 << 10
const maxJsonBytes = 16 << 20
const maxCommitBytes = 128 << 20

type App = Hono<{ Bindings: HttpBindings }>

const createSchema = v.looseObject({
  name: v.string(),
  organization: v.nullish(v.string()),
  type: v.nullish(v.picklist(['model'])),
})
const preuploadSchema = v.looseObject({
  files: v.pipe(v.array(v.looseObject({ path: v.string(), size: v.number() })), v.maxLength(10_000)),
})
const sizeSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const oidSchema = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/))
const batchSchema = v.looseObject({
  operation: v.picklist(['upload', 'download']),
  objects: v.pipe(v.array(v.looseObject({ oid: oidSchema, size: sizeSchema })), v.maxLength(1000)),
})
const lineSchema = v.variant('key', [
  v.object({ key: v.literal('header'), value: v.looseObject({ parentCommit: v.nullish(v.string()) }) }),
  v.object({
    key: v.literal('file'),
    value: v.looseObject({ path: v.string(), content: v.string(), encoding: v.nullish(v.string()) }),
  }),
  v.object({
    key: v.literal('lfsFile'),
    value: v.looseObject({ path: v.string(), oid: oidSchema, size: v.nullish(sizeSchema) }),
  }),
  v.object({ key: v.literal('deletedFile'), value: v.looseObject({ path: v.string() }) }),
  v.object({ key: v.literal('deletedFolder'), value: v.looseObject({ path: v.string() }) }),
])

/** The writing half of the Hugging Face hub's API: create, preupload, LFS batch (basic), commit. Source: the requests of its clients. */
export function hubWrite(services: Services): App {
  const app: App = new Hono<{ Bindings: HttpBindings }>()
  const { store } = services

  app.get('/api/whoami-v2', async (context) => {
    const identity = await identityOf(context, store)
    if (identity === undefined) return denied(context, 401)
    const { name, scopes } = identity
    const role = scopes.includes('write') ? 'write' : 'read'
    return context.json({
      type: 'user',
      id: identity.id,
      name,
      fullname: name,
      orgs: [],
      auth: { type: 'access_token', accessToken: { displayName: name, role } },
    })
  })

  app.post('/api/validate-yaml', async (context) => {
    await readBody(context, maxJsonBytes)
    return context.json({ errors: [], warnings: [] })
  })

  app.post('/api/repos/create', async (context) => {
    const asked = v.safeParse(createSchema, await readJson(context, maxJsonBytes))
    if (!asked.success) return context.json({ error: 'Only repositories of models can be made here.' }, 400)
    const { name, organization } = asked.output
    const model = modelOf(name.includes('/') || !organization ? name : `${organization}/${name}`)
    if (model === undefined) return context.json({ error: 'It is no name of a model: NAMESPACE/NAME.' }, 400)
    const writer = await writerOf(context, store, model.namespace)
    if (writer === 401 || writer === 403) return denied(context, writer)
    const found = await findRepository(store, model)
    const repository = found?.name ?? repositoryOf(model)
    const body = { url: `${baseUrl(context)}/${repository}`, name: repository, id: repository }
    return found === undefined ? context.json(body) : context.json({ ...body, error: 'You already created this model repo' }, 409)
  })

  app.delete('/api/repos/delete', async (context) => {
    const asked = v.safeParse(createSchema, await readJson(context, maxJsonBytes))
    const model = asked.success
      ? modelOf(asked.output.organization ? `${asked.output.organization}/${asked.output.name}` : asked.output.name)
      : undefined
    if (model === undefined) return context.json({ error: 'It is no name of a model.' }, 400)
    const writer = await writerOf(context, store, model.namespace)
    if (writer === 401 || writer === 403) return denied(context, writer)
    if ((await findRepository(store, model)) === undefined) return hubError(context, 'RepoNotFound', 'Repository not found')
    await removeModel(repositoryOf(model), store.directory)
    return context.json({})
  })

  app.get('/api/models/:namespace/:name/xet-write-token/:revision', (context) =>
    context.json({ error: 'This registry takes uploads of Git LFS, not of Xet: set HF_HUB_DISABLE_XET=1.' }, 404),
  )

  app.post('/api/models/:namespace/:name/preupload/:revision', async (context) =>
    asWriter(context, services, async () => {
      const asked = v.safeParse(preuploadSchema, await readJson(context, maxJsonBytes))
      if (!asked.success) return context.json({ error: 'The body names no files.' }, 400)
      const files = asked.output.files.map(({ path, size }) => ({
        path,
        uploadMode: size > inlineBytes || /\.(?:gguf|safetensors|bin)$/i.test(path) ? 'lfs' : 'regular',
        shouldIgnore: false,
        oid: null,
      }))
      return context.json({ files })
    }),
  )

  app.post('/:namespace/:git{.+\\.git}/info/lfs/objects/batch', async (context) => {
    const model = modelOf(`${context.req.param('namespace')}/${context.req.param('git').replace(/\.git$/, '')}`)
    if (model === undefined) return hubError(context, 'RepoNotFound', 'Repository not found')
    const writer = await writerOf(context, store, model.namespace)
    if (writer === 401 || writer === 403) return denied(context, writer)
    const asked = v.safeParse(batchSchema, await readJson(context, maxJsonBytes))
    if (!asked.success || asked.output.operation !== 'upload')
      return context.json({ message: 'Only uploads are batched here.' }, 422)
    const signer = await services.signer()
    const objects = await Promise.all(
      asked.output.objects.map(async ({ oid, size }) => {
        if ((await stat(blobPath(store, `sha256:${oid}`)).catch(() => undefined))?.size === size) {
          // The client will only point to it.
          await services.pinFor(`sha256:${oid}`).then((pin) => pin.add(`sha256:${oid}`))
          return { oid, size }
        }
        const path = signer.sign('PUT', `/lfs/${repositoryOf(model)}/${oid}?size=${size}`)
        return { oid, size, authenticated: true, actions: { upload: { href: `${baseUrl(context)}${path}`, header: {} } } }
      }),
    )
    return context.json({ transfer: 'basic', objects, hash_algo: 'sha256' }, 200, {
      'Content-Type': 'application/vnd.git-lfs+json',
    })
  })

  app.put('/lfs/:namespace/:name/:oid', async (context) => {
    const { namespace, name, oid } = context.req.param()
    const signer = await services.signer()
    if (!signer.isValid('PUT', context.env.incoming.url ?? ''))
      return context.json({ error: 'The address has expired, or was not made here.' }, 403)
    const digest = `sha256:${oid}`
    if (!isDigest(digest)) return context.json({ error: 'It is no digest.' }, 400)
    const size = Number(context.req.query('size'))
    const announced = context.req.header('content-length')
    if (announced !== undefined && Number(announced) !== size)
      return context.json({ error: `${size} bytes were announced.` }, 400)
    const upload = await services.uploads.begin(`${namespace}/${name}`.toLowerCase())
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

  app.post('/api/models/:namespace/:name/commit/:revision', async (context) =>
    asWriter(context, services, async (model) => {
      if (context.req.query('create_pr')) return context.json({ error: 'There are no pull requests here.' }, 400)
      const revision = modelOf(repositoryOf(model), context.req.param('revision'))
      if (revision === undefined) return hubError(context, 'RevisionNotFound', 'It is no name of a branch or tag.')
      const changes = parseCommit((await readBody(context, maxCommitBytes)).toString('utf8'))
      if (typeof changes === 'string') return context.json({ error: changes }, 400)
      const parent = changes.parent
      if (parent !== undefined && parent !== (await commitOf(services, revision))) {
        return context.json({ error: 'A commit has happened since. Please refresh and try again.' }, 412)
      }
      await commitFiles(store, revision, changes.files)
      await services.unpin(changes.files.flatMap((change) => (change.kind === 'point' ? [change.digest] : [])))
      const oid = (await commitOf(services, revision)) ?? '0'.repeat(40)
      const url = `${baseUrl(context)}/${repositoryOf(model)}/commit/${oid}`
      return context.json({ success: true, commitOid: oid, commitUrl: url, hookOutput: '' })
    }),
  )

  return app
}

async function asWriter(
  context: HttpContext,
  services: Services,
  work: (model: ModelName) => Promise<Response>,
): Promise<Response> {
  const model = modelOf(`${context.req.param('namespace')}/${context.req.param('name')}`)
  if (model === undefined) return hubError(context, 'RepoNotFound', 'Repository not found')
  const writer = await writerOf(context, services.store, model.namespace)
  if (writer === 401 || writer === 403) return denied(context, writer)
  await prepareStore(services.store)
  return work(model)
}

function denied(context: HttpContext, status: 401 | 403): Response {
  const error =
    status === 401
      ? 'Writing needs a token of this registry that may write, made with `mq registry token create`.'
      : 'The token may not write here.'
  return context.json({ error }, status, { 'X-Error-Message': error })
}

function modelOf(name: string, tag?: string): ModelName | undefined {
  try {
    return parseModelName(tag === undefined ? name : `${name}:${tag}`)
  } catch (error) {
    if (MqError.from(error).code !== 'NAME_INVALID') throw error
    return undefined
  }
}

async function commitOf({ catalog }: Services, { namespace, name, tag = 'main' }: ModelName): Promise<string | undefined> {
  const entry = await catalog.find(namespace, name)
  return entry === undefined ? undefined : catalog.revision(entry, tag)?.commit
}

/** The changes that the lines of a commit ask for, or what is wrong with them. */
function parseCommit(text: string): { files: FileChange[]; parent: string | undefined } | string {
  const files: FileChange[] = []
  let parent: string | undefined
  for (const line of text.split('\n').filter((candidate) => candidate.trim() !== '')) {
    const parsed = v.safeParse(lineSchema, parseLine(line))
    if (!parsed.success) return 'A line of the commit cannot be read.'
    const { key, value } = parsed.output
    if (key === 'header') parent = value.parentCommit ?? undefined
    else if (key === 'file')
      files.push({
        kind: 'add',
        path: value.path,
        content: Buffer.from(value.content, value.encoding === 'utf-8' ? 'utf8' : 'base64'),
      })
    else if (key === 'lfsFile') {
      if (typeof value.size !== 'number') return 'A file of Git LFS has no size.'
      files.push({ kind: 'point', path: value.path, digest: `sha256:${value.oid}`, sizeBytes: value.size })
    } else files.push({ kind: 'delete', path: value.path.replace(/\/$/, ''), folder: key === 'deletedFolder' })
  }
  return { files, parent }
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
