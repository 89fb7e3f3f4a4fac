import * as v from 'valibot'
import { MqError } from '../errors/index.js'
import { readBody } from './abort.js'
import { type HubClient, lostConnection } from './client.js'
import { fileNameProblem } from './file-name.js'
import { refusal } from './refusal.js'

const maxFiles = 100_000
const maxAnswerBytes = 64 << 20

const commitSchema = v.pipe(v.string(), v.regex(/^[0-9a-f]{40}$/))
const sizeSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const entrySchema = v.object({
  path: v.pipe(v.string(), v.maxLength(4096)),
  size: sizeSchema,
  oid: v.optional(v.pipe(v.string(), v.regex(/^[0-9a-f]{40}$/))),
  lfs: v.nullish(v.object({ oid: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)), size: sizeSchema })),
})
const pageSchema = v.array(v.looseObject({ type: v.string(), path: v.pipe(v.string(), v.maxLength(4096)) }))
const infoSchema = v.looseObject({ sha: commitSchema })
const refsSchema = v.looseObject({ tags: v.array(v.looseObject({ name: v.string() })) })

/** A file that a hub offers. */
export interface RemoteFile {
  readonly path: string
  readonly sizeBytes: number
  /** What its bytes must hash to: SHA-256, or git's SHA-1 of a blob for small files. */
  readonly hash: { readonly algorithm: 'sha256' | 'git-sha1'; readonly value: string }
}

/** The files of a revision at one commit, so that all that is fetched belongs together. Their names may be none here: {@link checkNames}. */
export interface Listing {
  readonly repo: string
  readonly commit: string
  readonly files: readonly RemoteFile[]
}

/**
 * Lists a model's files, page by page.
 * @throws MqError REPO_MISSING, ACCESS_DENIED, NETWORK, HUB_ANSWER_INVALID.
 */
export async function listRepository(client: HubClient, repo: string, revision: string): Promise<Listing> {
  const asked = { endpoint: client.endpoint, repo: revision === 'main' ? repo : `${repo}@${revision}` }
  const address = `${client.endpoint}/api/models/${repo}`
  const ask = async (url: string): Promise<{ body: unknown; headers: Headers }> => {
    const answer = await askJson(client, url)
    if (!answer.response.ok) throw refusal(asked, answer.response)
    return { body: parseJson(client, answer.text), headers: answer.response.headers }
  }
  const { sha } = expect(
    client,
    infoSchema,
    (await ask(`${address}/revision/${encodeURIComponent(revision)}`)).body,
    'its description',
  )
  const files = new Map<string, RemoteFile>()
  const pages = `${address}/tree/${sha}`
  for (let query: string | undefined = 'recursive=true'; query !== undefined; ) {
    const { body, headers } = await ask(`${pages}?${query}`)
    const before = files.size
    addPage(client, body, files)
    const next = nextQuery(headers.get('link'))
    if (next !== undefined && (next === query || files.size === before))
      throw unusable(client, 'the pages of its listing do not end')
    query = next
  }
  return { repo, commit: sha, files: [...files.values()] }
}

/** The revision of a tag of a registry, which has one for each; undefined on a hub that has none of that name. */
export async function tagRevision(client: HubClient, repo: string, tag: string): Promise<string | undefined> {
  const { response, text } = await askJson(client, `${client.endpoint}/api/models/${repo}/refs`)
  if (!response.ok) return undefined
  const refs = v.safeParse(refsSchema, parseJson(client, text))
  return refs.success ? refs.output.tags.find(({ name }) => name === tag)?.name : undefined
}

/** @throws MqError HUB_ANSWER_INVALID where a file that is wanted cannot have its name here. */
export function checkNames({ endpoint }: HubClient, files: readonly RemoteFile[]): void {
  const folders = new Set(files.flatMap(({ path }) => parentsOf(path)))
  for (const { path } of files) {
    const problem = fileNameProblem(path) ?? (folders.has(path) ? 'it is the name of a folder, too' : undefined)
    if (problem === undefined) continue
    throw MqError.of('HUB_ANSWER_INVALID', { url: endpoint, problem: `the file ${shown(path)} cannot be written: ${problem}` })
  }
}

/**
 * The query of the next page that a Link header names (RFC 8288), relative or not, quoted or not. Only the query is taken: a page of this
 * listing is at this address, even where a hub behind a proxy gives its inner name, or a mirror the address of what it mirrors.
 */
export function nextQuery(link: string | null): string | undefined {
  for (const [, target = '', parameters = ''] of (link ?? '').matchAll(/<([^>]*)>([^<]*)/g)) {
    if (!/;\s*rel\s*=\s*(?:next\b|"(?:[^"]*\s)?next(?:\s[^"]*)?")/i.test(parameters)) continue
    const query = target.split('#')[0]?.split('?').slice(1).join('?')
    if (query) return query
  }
  return undefined
}

function addPage(client: HubClient, body: unknown, files: Map<string, RemoteFile>): void {
  for (const entry of expect(client, pageSchema, body, 'its listing')) {
    if (entry.type !== 'file') continue
    const file = remoteFile(client, entry)
    const same = files.get(file.path)
    if (same !== undefined && same.hash.value !== file.hash.value) throw unusable(client, `it lists ${shown(file.path)} twice`)
    files.set(file.path, file)
    if (files.size > maxFiles) throw unusable(client, `it lists more than ${maxFiles} files`)
  }
}

function remoteFile(client: HubClient, entry: { path: string }): RemoteFile {
  const { path, size, oid, lfs } = expect(client, entrySchema, entry, `the file ${shown(entry.path)}`)
  if (lfs) return { path, sizeBytes: lfs.size, hash: { algorithm: 'sha256', value: lfs.oid } }
  if (oid === undefined) throw unusable(client, `it gives no hash of ${shown(path)}`)
  return { path, sizeBytes: size, hash: { algorithm: 'git-sha1', value: oid } }
}

function parentsOf(path: string): string[] {
  const segments = path.split('/')
  return segments.slice(1).map((_, index) => segments.slice(0, index + 1).join('/'))
}

function shown(path: string): string {
  return JSON.stringify(path).slice(0, 200)
}

function expect<Schema extends v.GenericSchema>(
  client: HubClient,
  schema: Schema,
  value: unknown,
  what: string,
): v.InferOutput<Schema> {
  const result = v.safeParse(schema, value)
  if (result.success) return result.output
  const [issue] = result.issues
  throw unusable(client, `${what}: ${[v.getDotPath(issue), issue.message].filter(Boolean).join(' ')}`)
}

function unusable({ endpoint }: HubClient, problem: string, options?: ErrorOptions): MqError {
  return MqError.of('HUB_ANSWER_INVALID', { url: endpoint, problem }, options)
}

function parseJson(client: HubClient, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw unusable(client, /^\s*</.test(text) ? 'it is a web page, not JSON' : 'it is not JSON', { cause: error })
  }
}

/** One answer with its body in memory, so that a connection lost in the middle is tried again. */
function askJson(client: HubClient, url: string): Promise<{ response: Response; text: string }> {
  return client.retry(async () => {
    const response = await client.request(url, { headers: { Accept: 'application/json' } })
    const chunks: Uint8Array[] = []
    let seen = 0
    try {
      for await (const chunk of readBody(response, client.signal)) {
        seen += chunk.byteLength
        if (seen > maxAnswerBytes) throw unusable(client, `it is longer than ${maxAnswerBytes} bytes`)
        chunks.push(chunk)
      }
    } catch (error) {
      throw error instanceof MqError ? error : lostConnection(error, client.signal)
    }
    return { response, text: Buffer.concat(chunks).toString('utf8') }
  })
}
