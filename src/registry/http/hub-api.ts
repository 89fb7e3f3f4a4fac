import { createHash } from 'node:crypto'
import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import * as v from 'valibot'
import { listRepositories, type Snapshot } from '../store/index.js'
import { type AppEnv, type HttpContext, hubError } from './answers.js'
import type { Catalog, CatalogEntry } from './catalog.js'
import { findEntry, listTree, type TreeEntry } from './tree.js'

const maxListed = 1000
const maxBodyBytes = 1 << 20
const boundedBody = bodyLimit({
  maxSize: maxBodyBytes,
  // The rest of the body is not read, so the connection cannot be used again.
  onError: (context) => context.json({ error: `The body is longer than ${maxBodyBytes} bytes.` }, 413, { Connection: 'close' }),
})
const pathsSchema = v.pipe(v.array(v.pipe(v.string(), v.maxLength(1024))), v.maxLength(10_000))

/** Creates the read part of the Hugging Face hub's API for models, under /api/models. Source: the requests of its clients, as recorded. */
export function hubApi(catalog: Catalog): Hono<AppEnv> {
  const app = new Hono<AppEnv>()

  app.get('/', async (context) => context.json(await listModels(context, catalog)))

  app.get('/:namespace/:name', async (context) => withRevision(context, catalog, 'main', modelInfo))

  app.get('/:namespace/:name/refs', async (context) => {
    const entry = await find(context, catalog)
    return entry === undefined ? noRepository(context) : context.json(refs(entry))
  })

  app.get('/:namespace/:name/revision/:revision', async (context) =>
    withRevision(context, catalog, context.req.param('revision'), modelInfo),
  )

  app.on('GET', ['/:namespace/:name/tree/:revision', '/:namespace/:name/tree/:revision/:folder{.+}'], async (context) =>
    withRevision(context, catalog, context.req.param('revision') ?? 'main', (entry, snapshot) => {
      const recursive = isTrue(context.req.query('recursive'))
      const tree = listTree(snapshot, context.req.param('folder') ?? '', recursive)
      if (tree === undefined) return undefined
      return isTrue(context.req.query('expand')) ? tree.map((item) => expand(item, entry, snapshot)) : tree
    }),
  )

  app.post('/:namespace/:name/paths-info/:revision', boundedBody, async (context) => {
    const asked = await readPaths(context)
    if (asked === undefined) return context.json({ error: 'The body names no paths.' }, 400)
    return withRevision(context, catalog, context.req.param('revision'), (entry, snapshot) => {
      const found = asked.paths.flatMap((path) => findEntry(snapshot, path.replace(/\/$/, '')) ?? [])
      return asked.expand ? found.map((item) => expand(item, entry, snapshot)) : found
    })
  })

  return app
}

/** Responds with the result of `make` for a revision, or with the error that names what is missing. */
async function withRevision(
  context: HttpContext,
  catalog: Catalog,
  revision: string,
  make: (entry: CatalogEntry, snapshot: Snapshot) => object | undefined,
): Promise<Response> {
  const entry = await find(context, catalog)
  if (entry === undefined) return noRepository(context)
  const snapshot = catalog.revision(entry, revision)
  if (snapshot === undefined) return hubError(context, 'RevisionNotFound', `Invalid rev id: ${revision.slice(0, 200)}`)
  const body = make(entry, snapshot)
  if (body === undefined) return hubError(context, 'EntryNotFound', 'Entry not found')
  return context.json(body, 200, { 'X-Repo-Commit': snapshot.commit })
}

function find(context: HttpContext, catalog: Catalog): Promise<CatalogEntry | undefined> {
  const { namespace = '', name = '' } = context.req.param() as Record<string, string>
  return context.var.mayRead(namespace) ? catalog.find(namespace, name) : Promise.resolve(undefined)
}

function noRepository(context: HttpContext): Response {
  return hubError(context, 'RepoNotFound', 'Repository not found')
}

function modelInfo({ repository, modified }: CatalogEntry, { commit, files }: Snapshot): object {
  const isGguf = files.some(({ path }) => path.endsWith('.gguf'))
  return {
    _id: createHash('sha256').update(repository.name).digest('hex').slice(0, 24),
    id: repository.name,
    modelId: repository.name,
    author: repository.name.split('/')[0],
    sha: commit,
    lastModified: modified.toISOString(),
    createdAt: modified.toISOString(),
    private: false,
    gated: false,
    disabled: false,
    downloads: 0,
    likes: 0,
    tags: [isGguf ? 'gguf' : 'safetensors'],
    library_name: isGguf ? 'gguf' : 'transformers',
    pipeline_tag: 'text-generation',
    siblings: files.map(({ path }) => ({ rfilename: path })),
  }
}

/** Commit id by which git denotes that there is none. */
const noCommit = '0'.repeat(40)

function refs({ main, tags, damaged }: CatalogEntry): object {
  const others = [...tags].filter(([tag]) => tag !== 'main')
  return {
    branches: [{ name: 'main', ref: 'refs/heads/main', targetCommit: main.commit }],
    // A damaged tag exists, but its files do not: a request for it gets an error.
    tags: [...others.map(([tag, { commit }]) => [tag, commit]), ...damaged.map(({ tag }) => [tag, noCommit])].map(
      ([name, targetCommit]) => ({ name, ref: `refs/tags/${name}`, targetCommit }),
    ),
    converts: [],
  }
}

function expand(entry: TreeEntry, { modified }: CatalogEntry, { commit }: Snapshot): object {
  return { ...entry, lastCommit: { id: commit, title: 'Publish', date: modified.toISOString() } }
}

async function listModels(context: HttpContext, catalog: Catalog): Promise<object[]> {
  const { author, search, limit } = context.req.query()
  const wanted = (await listRepositories(catalog.store)).filter(
    (name) =>
      context.var.mayRead(name.split('/')[0] ?? '') &&
      (author === undefined || name.split('/')[0]?.toLowerCase() === author.toLowerCase()) &&
      (search === undefined || name.toLowerCase().includes(search.toLowerCase())),
  )
  const most = Math.min(maxListed, Math.max(0, Number(limit ?? maxListed) || 0))
  const entries = await Promise.all(
    wanted.slice(0, most).map(async (repository) => {
      const [namespace = '', name = ''] = repository.split('/')
      // One damaged repository must not hide the others; a request for it by name gets the error.
      return catalog.find(namespace, name).catch(() => undefined)
    }),
  )
  return entries.flatMap((entry) => (entry === undefined ? [] : [modelInfo(entry, entry.main)]))
}

/** The JavaScript client sends JSON, the Python one a form. */
async function readPaths(context: HttpContext): Promise<{ paths: string[]; expand: boolean } | undefined> {
  const text = await context.req.text()
  const isForm = context.req.header('content-type')?.startsWith('application/x-www-form-urlencoded') === true
  try {
    const form = new URLSearchParams(text)
    const body: unknown = isForm ? { paths: form.getAll('paths'), expand: form.get('expand') } : JSON.parse(text)
    const { paths, expand } = body as { paths?: unknown; expand?: unknown }
    const checked = v.safeParse(pathsSchema, typeof paths === 'string' ? [paths] : paths)
    return checked.success ? { paths: checked.output, expand: isTrue(String(expand)) } : undefined
  } catch {
    return undefined
  }
}

function isTrue(value: string | undefined): boolean {
  return value !== undefined && ['1', 'true', ''].includes(value.toLowerCase())
}
