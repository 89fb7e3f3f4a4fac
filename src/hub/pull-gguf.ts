import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { MqError } from '../errors/index.js'
import type { WithProgress } from '../progress/index.js'
import { type ConnectOptions, connect } from './connect.js'
import { cacheDirectory, registryEndpoint } from './endpoint.js'
import { fetchFiles } from './fetch-files.js'
import { listRepository, type RemoteFile } from './listing.js'
import { parseRemoteName } from './repository-name.js'
import { selectGguf } from './select-gguf.js'

/** The endpoint is $MQ_ENDPOINT, else $HF_ENDPOINT, else the registry on this machine, unless said otherwise. */
export interface PullGgufOptions extends ConnectOptions {
  /** Where models are kept; $MQ_CACHE, else mq in the user's cache folder. */
  readonly directory?: string
}

/**
 * Brings the GGUF that llama.cpp would take for `NS/NAME[:TAG]` into the cache, all shards of it, and returns the path of the first. The
 * folder is named by the content's hashes: what has its name there was verified when it came and is not read again.
 *
 * Rejects with NAME_INVALID, REPO_MISSING, MODEL_NOT_FOUND, NETWORK, HUB_ANSWER_INVALID, DOWNLOAD_CORRUPT, DISK_FULL.
 */
export async function* pullGguf(name: string, options: PullGgufOptions = {}): WithProgress<{ path: string }> {
  const { repo, tag, revision } = parseRemoteName(name)
  const client = await connect(options, registryEndpoint())
  const listing = await listRepository(client, repo, revision ?? 'main')
  const chosen = selectGguf(
    listing.files.map(({ path }) => path),
    tag,
  )
  const files = chosen.flatMap((path) => listing.files.find((file) => file.path === path) ?? [])
  const [first] = files
  if (first === undefined) throw MqError.of('MODEL_NOT_FOUND', { name, registry: client.endpoint })
  const directory = join(options.directory ?? cacheDirectory(), 'models', ...repo.split('/'), contentName(files))
  yield* fetchFiles({ client, listing, files, directory, concurrency: 4, checkPresent: false })
  return { path: join(directory, first.path) }
}

function contentName(files: readonly RemoteFile[]): string {
  const hash = createHash('sha256')
  for (const { path, hash: content } of files) hash.update(`${path}\0${content.value}\n`)
  return hash.digest('hex').slice(0, 16)
}
