import { Hono } from 'hono'
import type { SnapshotFile } from '../store/index.js'
import { type AppEnv, hubError } from './answers.js'
import { sendFile } from './send-file.js'
import { blobToSend, type Services } from './services.js'

/**
 * Serves files to Hugging Face clients: /NAMESPACE/NAME/resolve/REVISION/PATH, GET and HEAD, with ranges. The ETag is the SHA-256,
 * by which those clients name the file in their caches.
 */
export function resolveFiles(services: Services): Hono<AppEnv> {
  const app = new Hono<AppEnv>()
  const { catalog } = services
  app.get('/:namespace/:name/resolve/:revision/:path{.+}', async (context) => {
    const { namespace, name, revision, path } = context.req.param()
    const entry = context.var.mayRead(namespace) ? await catalog.find(namespace, name) : undefined
    if (entry === undefined) return hubError(context, 'RepoNotFound', 'Repository not found')
    const snapshot = catalog.revision(entry, revision)
    if (snapshot === undefined) return hubError(context, 'RevisionNotFound', `Invalid rev id: ${revision.slice(0, 200)}`)
    const file = snapshot.files.find((candidate) => candidate.path === path)
    if (file === undefined) return hubError(context, 'EntryNotFound', 'Entry not found')
    return sendFile(context, {
      ...blobToSend(services, file.digest, file.sizeBytes),
      contentType: contentType(file),
      headers: {
        // A file that is opened in a browser must not run as a page of this site.
        'Content-Security-Policy': "default-src 'none'; sandbox",
        'X-Repo-Commit': snapshot.commit,
        'X-Linked-Size': String(file.sizeBytes),
        'X-Linked-Etag': `"${file.digest.slice('sha256:'.length)}"`,
      },
    })
  })
  return app
}

/** Image types that cannot contain scripts. */
const pictures: Readonly<Record<string, string>> = { png: 'png', jpg: 'jpeg', jpeg: 'jpeg', gif: 'gif', webp: 'webp' }

function contentType({ path }: SnapshotFile): string {
  const picture = pictures[/\.([a-z]+)$/i.exec(path)?.[1]?.toLowerCase() ?? '']
  if (picture !== undefined) return `image/${picture}`
  if (path.endsWith('.json')) return 'application/json'
  return /\.(?:md|txt|jinja)$|licen[cs]e$/i.test(path) ? 'text/plain; charset=utf-8' : 'application/octet-stream'
}
