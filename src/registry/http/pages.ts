import { Hono } from 'hono'
import { type Markup, markup } from '../../report/index.js'
import { listRegistry } from '../list.js'
import { describeTag, readShape, type TagDescription } from '../page/describe.js'
import { homePage } from '../page/home.js'
import { modelPage } from '../page/model.js'
import { maxReadmeBytes, renderReadme } from '../page/readme.js'
import { script, scriptPath, sitePage } from '../page/site.js'
import { readBytes, readTags, type SnapshotFile, type Store } from '../store/index.js'
import { mqVersion } from '../version.js'
import type { AppEnv, HttpContext } from './answers.js'
import type { CatalogEntry } from './catalog.js'
import type { Services } from './services.js'
import { baseUrl } from './writers.js'

const tagsOnPage = 200
/** Tags that llama.cpp chooses by default. */
const defaultTags = ['Q4_K_M', 'Q8_0']

const headers = {
  'Content-Security-Policy':
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; script-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cache-Control': 'no-cache',
}

/** Creates the HTML pages: all models at `/`, one at `/NAMESPACE/NAME`, its reports. They are rendered on the server; scripts only add copy buttons. */
export function pages(services: Services): Hono<AppEnv> {
  const app = new Hono<AppEnv>()
  const { store, catalog } = services
  const find = async (context: HttpContext): Promise<CatalogEntry | undefined> => {
    const { namespace = '', name = '' } = context.req.param() as Record<string, string>
    return context.var.mayRead(namespace) ? catalog.find(namespace, name) : undefined
  }

  app.get('/', async (context) => {
    const query = (context.req.query('q') ?? '').trim().slice(0, 200)
    const page = Math.max(1, Math.trunc(Number(context.req.query('page'))) || 1)
    const { models, damaged } = await listRegistry(store.directory)
    const mayRead = ({ name }: { name: string }): boolean => context.var.mayRead(name.split('/')[0] ?? '')
    return context.html(
      homePage({ models: models.filter(mayRead), damaged: damaged.filter(mayRead) }, { query, page }),
      200,
      headers,
    )
  })

  app.get(scriptPath, (context) => context.body(script, 200, { ...headers, 'Content-Type': 'text/javascript; charset=utf-8' }))

  app.get('/:namespace/:name', async (context) => {
    const entry = await find(context)
    return entry === undefined ? notFound(context) : modelAnswer(context, services, entry)
  })

  app.get('/:namespace/:name/report/:tag', async (context) => {
    const entry = await find(context)
    const wanted = context.req.param('tag')
    const tagged = entry && (await readTags(store, entry.repository)).tagged.find(({ tag }) => tag === wanted)
    const snapshot = entry?.tags.get(wanted)
    const report = tagged && snapshot && (await describeTag(store, tagged, snapshot)).report
    if (report === undefined) return notFound(context)
    const { reportPage } = await import('../../verify/index.js')
    return context.html(reportPage(report, { version: mqVersion() }), 200, headers)
  })

  return app
}

async function modelAnswer(context: HttpContext, { store }: Services, entry: CatalogEntry): Promise<Response> {
  const { repository, tags: snapshots, damaged } = entry
  const { tagged } = await readTags(store, repository)
  const wanted = context.req.query('tag')
  const shown = tagged.slice(0, tagsOnPage)
  const extra = tagged.slice(tagsOnPage).filter(({ tag }) => tag === wanted)
  const described: TagDescription[] = []
  for (const tag of [...shown, ...extra]) {
    const snapshot = snapshots.get(tag.tag)
    if (snapshot !== undefined) described.push(await describeTag(store, tag, snapshot))
  }
  const tags = described.toSorted((a, b) => a.sizeBytes - b.sizeBytes)
  const chosen =
    tags.find(({ tag }) => tag === wanted) ??
    defaultTags.flatMap((name) => tags.filter(({ tag }) => tag === name))[0] ??
    tags.find(({ files }) => files.some(({ path }) => path.endsWith('.gguf'))) ??
    tags[0]
  const readme = chosen && (await readmeOf(store, repository.name, chosen, entry))
  return context.html(
    modelPage({
      repository: repository.name,
      url: baseUrl(context),
      tags,
      more: Math.max(0, tagged.length - tags.length),
      damaged: damaged.map(({ tag }) => tag),
      chosen,
      picture: chosen && (await pictureOf(store, chosen)),
      readme,
    }),
    200,
    headers,
  )
}

async function pictureOf(store: Store, { tag, files }: TagDescription): Promise<Markup | undefined> {
  const shape = await readShape(store, files)
  if (shape === undefined || !shape.tensors.some(({ layer }) => layer !== undefined)) return undefined
  const { drawPlan } = await import('../../plan/index.js')
  return drawPlan({ ...shape, goal: '' }, tag)
}

/** Reads the card of the chosen tag, else that of the repository. */
async function readmeOf(
  store: Store,
  repository: string,
  { tag, files }: TagDescription,
  { main }: CatalogEntry,
): Promise<Awaited<ReturnType<typeof renderReadme>> | undefined> {
  const cardOf = (list: readonly SnapshotFile[]): SnapshotFile | undefined =>
    list.find(({ path }) => path.toLowerCase() === 'readme.md')
  const own = cardOf(files)
  const file = own ?? cardOf(main.files)
  if (file === undefined || file.sizeBytes > maxReadmeBytes) return undefined
  const bytes = await readBytes(store, { digest: file.digest, size: file.sizeBytes }).catch(() => undefined)
  if (bytes === undefined) return undefined
  return renderReadme(bytes.toString('utf8'), `/${repository}/resolve/${encodeURIComponent(own === undefined ? 'main' : tag)}`)
}

function notFound(context: HttpContext): Response | Promise<Response> {
  if (context.req.header('accept')?.includes('text/html') !== true) return context.json({ error: 'Not found' }, 404)
  const content = markup`<h1>Not found</h1><p class="lead">There is no such model here.</p>`
  return context.html(sitePage('Not found, mq registry', [content]), 404, headers)
}
