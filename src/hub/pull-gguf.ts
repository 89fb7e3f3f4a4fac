import { join } from 'node:path'
import { MqError } from '../errors/index.js'
import type { WithProgress } from '../progress/index.js'
import { type CacheRecord, contentFolder, findRecord, writeRecord } from './cache/index.js'
import { type ConnectOptions, connect } from './connect.js'
import { cacheDirectory, isOffline, normalizeEndpoint, registryEndpoint } from './endpoint.js'
import { fetchFiles } from './fetch-files.js'
import { listWithProgress } from './list-model.js'
import { checkShardsListed } from './missing-shards.js'
import { parseRemoteName } from './repository-name.js'
import { selectGguf } from './select-gguf.js'

/** The endpoint is $MQ_ENDPOINT, else $HF_ENDPOINT, else the registry on this machine, unless said otherwise. */
export interface PullGgufOptions extends ConnectOptions {
  /** Where models are kept; $MQ_CACHE, else mq in the user's cache folder. */
  readonly directory?: string
}

/**
 * Brings the GGUF that llama.cpp would take for `NS/NAME[:TAG]` into the cache, all shards of it, and returns the path of the first. The
 * folder is named by the content's hashes: what has its name there was verified when it came and is not read again. Where the endpoint
 * does not answer, or HF_HUB_OFFLINE is set, what was pulled from it by this name before is used.
 * @throws MqError NAME_INVALID, REPO_MISSING, ACCESS_DENIED, MODEL_NOT_FOUND, REPO_INCOMPLETE, NETWORK, HUB_ANSWER_INVALID,
 * DOWNLOAD_CORRUPT, DISK_FULL.
 */
export async function* pullGguf(name: string, options: PullGgufOptions = {}): WithProgress<{ path: string }> {
  parseRemoteName(name)
  const cache = options.directory ?? cacheDirectory()
  const endpoint = normalizeEndpoint(options.endpoint ?? registryEndpoint())
  const known = await findRecord(cache, endpoint, name)
  if (isOffline()) {
    if (known === undefined)
      throw MqError.of('NETWORK', { url: endpoint, problem: `HF_HUB_OFFLINE is set, and ${name} is not in the cache` })
    return { path: firstPath(cache, known) }
  }
  try {
    return yield* pullOnline(name, endpoint, cache, options)
  } catch (error) {
    const { code, message } = MqError.from(error)
    if (known === undefined || (code !== 'NETWORK' && code !== 'HUB_ANSWER_INVALID')) throw error
    const notice = `${message} The copy of ${name} in the cache is used, last asked for on ${known.usedAt.slice(0, 10)}.`
    yield { stage: 'download', done: 0, total: 0, unit: 'bytes', notice }
    return { path: firstPath(cache, known) }
  }
}

async function* pullOnline(
  name: string,
  endpoint: string,
  cache: string,
  options: PullGgufOptions,
): WithProgress<{ path: string }> {
  const remote = parseRemoteName(name)
  const client = await connect(options, endpoint)
  const { listing, tag } = yield* listWithProgress(client, remote)
  const chosen = selectGguf(
    listing.files.map(({ path }) => path),
    tag,
  )
  checkShardsListed(client, listing, chosen)
  const files = chosen.flatMap((path) => listing.files.find((file) => file.path === path) ?? [])
  const [first] = files
  if (first === undefined) throw MqError.of('MODEL_NOT_FOUND', { name, registry: client.endpoint })
  const folder = contentFolder(remote.repo, files)
  yield* fetchFiles({ client, listing, files, directory: join(cache, folder), concurrency: 4, checkPresent: false })
  await writeRecord(cache, { endpoint, name, folder, files: [...files] })
  return { path: join(cache, folder, first.path) }
}

function firstPath(cache: string, { folder, files }: CacheRecord): string {
  return join(cache, folder, files[0]?.path ?? '')
}
