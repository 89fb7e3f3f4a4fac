import * as v from 'valibot'
import { MqError } from '../errors/index.js'
import { isRelativePath } from '../files/index.js'
import { readBody } from './abort.js'
import { type HubClient, lostConnection } from './client.js'

const maxFiles = 100_000
const maxAnswerBytes = 64 << 20

const commitSchema = v.pipe(v.string(), v.regex(/^[0-9a-f]{40}$/))
const sizeSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const entrySchema = v.object({
  path: v.pipe(v.string(), v.check(isRelativePath, 'leads out of its folder')),
  size: sizeSchema,
  oid: v.optional(v.pipe(v.string(), v.regex(/^[0-9a-f]{40}$/))),
  lfs: v.optional(v.object({ oid: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)), size: sizeSchema })),
})

/** A file that a hub offers. */
export interface RemoteFile {
  readonly path: string
  readonly sizeBytes: number
  /** What its bytes must hash to: SHA-256, or git's SHA-1 of a blob for small files. */
  readonly hash: { readonly algorithm: 'sha256' | 'git-sha1'; readonly value: string }
}

/** The files of a revision at one commit, so that all that is fetched belongs together. */
export interface Listing {
  readonly repo: string
  readonly commit: string
  readonly files: readonly RemoteFile[]
}

/** Lists a model's files. Rejects with REPO_MISSING, NETWORK, HUB_ANSWER_INVALID. */
export async function listRepository(client: HubClient, repo: string, revision: string): Promise<Listing> {
  const { endpoint } = client
  const { HubApiError, listFiles, modelInfo } = await import('@huggingface/hub')
  const bounded: typeof fetch = async (input, init) => {
    const url = input instanceof Request ? input.url : input
    return client.retry(async () => readWhole(await client.request(url, init), client))
  }
  const common = { hubUrl: endpoint, fetch: bounded }
  try {
    const { sha } = await modelInfo({ ...common, name: repo, revision, additionalFields: ['sha'] })
    const commit = expect(endpoint, commitSchema, sha, 'its commit')
    const files: RemoteFile[] = []
    for await (const entry of listFiles({ ...common, repo: { type: 'model', name: repo }, recursive: true, revision: commit })) {
      if (entry.type !== 'file') continue
      if (files.length === maxFiles) throw unusable(endpoint, `it lists more than ${maxFiles} files`)
      files.push(remoteFile(endpoint, entry))
    }
    return { repo, commit, files }
  } catch (error) {
    const status = error instanceof HubApiError ? error.statusCode : undefined
    throw translate(error, status, endpoint, revision === 'main' ? repo : `${repo}@${revision}`)
  }
}

function remoteFile(endpoint: string, entry: { path: string }): RemoteFile {
  const { path, size, oid, lfs } = expect(endpoint, entrySchema, entry, `the file ${JSON.stringify(entry.path).slice(0, 200)}`)
  if (lfs !== undefined) return { path, sizeBytes: lfs.size, hash: { algorithm: 'sha256', value: lfs.oid } }
  if (oid === undefined) throw unusable(endpoint, `it gives no hash of ${path}`)
  return { path, sizeBytes: size, hash: { algorithm: 'git-sha1', value: oid } }
}

function expect<Schema extends v.GenericSchema>(
  endpoint: string,
  schema: Schema,
  value: unknown,
  what: string,
): v.InferOutput<Schema> {
  const result = v.safeParse(schema, value)
  if (result.success) return result.output
  const [issue] = result.issues
  throw unusable(endpoint, `${what}: ${[v.getDotPath(issue), issue.message].filter(Boolean).join(' ')}`)
}

function unusable(endpoint: string, problem: string, options?: ErrorOptions): MqError {
  return MqError.of('HUB_ANSWER_INVALID', { url: endpoint, problem }, options)
}

function translate(error: unknown, status: number | undefined, endpoint: string, repo: string): unknown {
  if (error instanceof MqError || (error instanceof Error && error.name === 'AbortError')) return error
  if (status !== undefined) {
    return [401, 403, 404].includes(status)
      ? MqError.of('REPO_MISSING', { url: endpoint, repo }, { cause: error })
      : unusable(endpoint, `HTTP ${status}`, { cause: error })
  }
  return unusable(endpoint, error instanceof Error ? error.message : String(error), { cause: error })
}

/** The same response with its body in memory, so that a connection lost in the middle is tried again. */
async function readWhole(response: Response, { endpoint, signal }: HubClient): Promise<Response> {
  const chunks: Uint8Array[] = []
  let seen = 0
  try {
    for await (const chunk of readBody(response, signal)) {
      seen += chunk.byteLength
      if (seen > maxAnswerBytes) throw unusable(endpoint, `it is longer than ${maxAnswerBytes} bytes`)
      chunks.push(chunk)
    }
  } catch (error) {
    throw error instanceof MqError ? error : lostConnection(error, signal)
  }
  return new Response(Buffer.concat(chunks), { status: response.status, headers: response.headers })
}
