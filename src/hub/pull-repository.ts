import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { MqError } from '../errors/index.js'
import type { WithProgress } from '../progress/index.js'
import type { HubClient } from './client.js'
import { type ConnectOptions, connect } from './connect.js'
import { hubEndpoint } from './endpoint.js'
import { fetchFiles } from './fetch-files.js'
import { repositoryCache } from './hub-cache.js'
import { listWithProgress } from './list-model.js'
import type { Listing, RemoteFile } from './listing.js'
import { checkIndexedShards, checkShardsListed } from './missing-shards.js'
import { parseRemoteName } from './repository-name.js'
import { selectCheckpoint } from './select-checkpoint.js'
import { selectGguf } from './select-gguf.js'

/** The endpoint is $HF_ENDPOINT, else the Hugging Face hub, unless said otherwise. */
export interface PullOptions extends ConnectOptions {
  /** `NS/NAME`; `NS/NAME:TAG` for one GGUF of several; `@REVISION` after it as an alternative to `revision`. */
  readonly repo: string
  /** Branch, tag or commit; `main` unless said otherwise. */
  readonly revision?: string
  /** Where the files go; by default the cache that the tools of Hugging Face share: see repositoryCache. */
  readonly directory?: string | undefined
  /** Which files, such as `*.json`; `*` and `?` match "/" too. Without it: all that a conversion needs, or one GGUF. */
  readonly include?: readonly string[] | undefined
  /** Which of these are left out, in the same manner. */
  readonly exclude?: readonly string[] | undefined
  /** Files at a time; 4 unless said otherwise. */
  readonly concurrency?: number
}

/** What was pulled, and where it is. */
export interface Pulled {
  readonly repo: string
  /** 40 hexadecimal digits. */
  readonly commit: string
  readonly directory: string
  /** Paths within the folder, all of them present and verified. */
  readonly files: readonly string[]
  /** Bytes fetched, without those of files that were there. */
  readonly bytes: number
  /** Files that were there already. */
  readonly skipped: number
}

/**
 * Brings a model from a hub or registry into a folder, several files at a time. A file has its final name only when its hash is right;
 * until then it is `NAME.partial`, from which a later run goes on.
 *
 * @throws MqError NAME_INVALID, OPTION_INVALID, REPO_MISSING, ACCESS_DENIED, MODEL_NOT_FOUND, REPO_INCOMPLETE, CHECKPOINT_EMPTY, NETWORK,
 * HUB_ANSWER_INVALID, DOWNLOAD_CORRUPT, DISK_FULL.
 */
export async function* pullRepository(options: PullOptions): WithProgress<Pulled> {
  const listed = yield* listPull(options)
  const { client, listing, files, revision } = listed
  const { repo, commit } = listing
  const chosen = files.map(({ path }) => path)
  const common = { client, listing, files, concurrency: options.concurrency ?? 4 }
  if (options.directory === undefined) {
    const cache = repositoryCache(repo)
    // What has its hash for a name was verified when it came.
    const { bytes, skipped } = yield* fetchFiles({ ...common, directory: cache.blobs, nameOf: cache.nameOf, checkPresent: false })
    await cache.link(listing, files, revision)
    const directory = cache.snapshotOf(commit)
    await listed.checkComplete(directory)
    return { repo, commit, directory, files: chosen, bytes, skipped }
  }
  const directory = resolve(options.directory)
  const { bytes, skipped } = yield* fetchFiles({ ...common, directory, checkPresent: true })
  await listed.checkComplete(directory)
  return { repo, commit, directory, files: chosen, bytes, skipped }
}

/** What a pull would fetch. */
export interface PullList {
  readonly client: HubClient
  readonly listing: Listing
  /** Those of the listing that are wanted. */
  readonly files: readonly RemoteFile[]
  /** As it was asked for. */
  readonly revision: string
  /** Checks that what an index among the fetched files names is among them, too. @throws MqError REPO_INCOMPLETE. */
  checkComplete(directory: string): Promise<void>
}

/** Lists the files that pullRepository would fetch. @throws MqError as pullRepository. */
export async function* listPull(options: PullOptions): WithProgress<PullList> {
  const name = parseRemoteName(options.repo)
  const { repo } = name
  const client = await connect(options, hubEndpoint())
  const revision = options.revision ?? name.revision
  const { listing, tag } = yield* listWithProgress(client, { ...name, revision })
  const isTag = name.tag !== undefined && tag === undefined
  const files = withoutExcluded(choose(listing, tag, isTag, options.include, client.endpoint), options.exclude, repo)
  const chosen = files.map(({ path }) => path)
  const chosenByName = [options.include, options.exclude].some((patterns) => patterns !== undefined && patterns.length > 0)
  if (!chosenByName) checkShardsListed(client, listing, chosen)
  return {
    client,
    listing,
    files,
    revision: revision ?? 'main',
    async checkComplete(directory) {
      if (!chosenByName) await checkIndexedShards(client, repo, chosen, (path) => readFile(join(directory, path), 'utf8'))
    },
  }
}

function choose(
  { repo, files }: Listing,
  tag: string | undefined,
  isTag: boolean,
  include: readonly string[] | undefined,
  endpoint: string,
): RemoteFile[] {
  const paths = files.map(({ path }) => path)
  const chosen = new Set(choosePaths(repo, paths, tag, isTag, include, endpoint))
  return files.filter(({ path }) => chosen.has(path))
}

/** @throws MqError OPTION_INVALID where nothing is left. */
function withoutExcluded(
  files: readonly RemoteFile[],
  exclude: readonly string[] | undefined,
  repo: string,
): readonly RemoteFile[] {
  if (exclude === undefined || exclude.length === 0) return files
  const patterns = exclude.map(globPattern)
  const left = files.filter(({ path }) => !patterns.some((pattern) => pattern.test(path)))
  if (left.length > 0) return left
  throw MqError.of('OPTION_INVALID', { option: 'exclude', value: exclude.join(' '), problem: `it leaves no file of ${repo}` })
}

function choosePaths(
  repo: string,
  paths: readonly string[],
  tag: string | undefined,
  isTag: boolean,
  include: readonly string[] | undefined,
  endpoint: string,
): string[] {
  if (include !== undefined && include.length > 0) {
    const patterns = include.map(globPattern)
    const matching = paths.filter((path) => patterns.some((pattern) => pattern.test(path)))
    if (matching.length > 0) return matching
    const problem = `no file of ${repo} matches`
    throw MqError.of('OPTION_INVALID', { option: 'include', value: include.join(' '), problem })
  }
  const isCheckpoint = paths.some((path) => path.endsWith('.safetensors'))
  if (tag === undefined && isCheckpoint && !(isTag && selectGguf(paths).length > 0)) return selectCheckpoint(paths)
  const models = selectGguf(paths, tag)
  if (models.length > 0) return [...models, ...models.map((path) => `${path}.verify.json`)]
  throw tag === undefined
    ? MqError.of('CHECKPOINT_EMPTY', { path: repo, problem: 'it has neither *.safetensors nor *.gguf' })
    : MqError.of('MODEL_NOT_FOUND', { name: `${repo}:${tag}`, registry: endpoint })
}

function globPattern(glob: string): RegExp {
  const escaped = glob.replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
  return new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`, 's')
}
