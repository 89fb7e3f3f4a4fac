import { Hono } from 'hono'
import * as v from 'valibot'
import { commitFiles, type FileChange } from '../commit.js'
import { removeModel } from '../remove.js'
import { findRepository, type ModelName, prepareStore, repositoryOf } from '../store/index.js'
import { type AppEnv, denied, type HttpContext, hubError, modelOf } from './answers.js'
import { readBody, readJson } from './body.js'
import type { Services } from './services.js'
import { baseUrl, identityOf, writerOf } from './writers.js'

/** Larger files are uploaded as blobs, smaller ones within the commit. */
const inlineBytes = 64 << 10
const maxJsonBytes = 16 << 20
const maxCommitBytes = 128 << 20

type App = Hono<AppEnv>

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

/** Creates the write part of the Hugging Face hub's API, without Git LFS: create, preupload, commit. Source: the requests of its clients. */
export function hubWrite(services: Services): App {
  const app: App = new Hono<AppEnv>()
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
    if (model === undefined) return context.json({ error: 'It is not the name of a model: NAMESPACE/NAME.' }, 400)
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
    if (model === undefined) return context.json({ error: 'It is not the name of a model.' }, 400)
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
      await services.uploads.checkRoom(inlineBytesOf(changes.files))
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

async function commitOf({ catalog }: Services, { namespace, name, tag = 'main' }: ModelName): Promise<string | undefined> {
  const entry = await catalog.find(namespace, name)
  return entry === undefined ? undefined : catalog.revision(entry, tag)?.commit
}

function inlineBytesOf(changes: readonly FileChange[]): number {
  return changes.reduce((sum, change) => sum + (change.kind === 'add' ? change.content.byteLength : 0), 0)
}

/** Parses the lines of a commit request. @returns the changes, or a message that says what is wrong. */
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
