import { mkdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import pLimit from 'p-limit'
import { MqError } from '../errors/index.js'
import { checkSpace } from '../files/index.js'
import type { WithProgress } from '../progress/index.js'
import { follow } from './abort.js'
import { byteProgress, waitNotice } from './byte-progress.js'
import type { HubClient } from './client.js'
import { hasContent } from './content-hash.js'
import { downloadFile } from './download-file.js'
import { checkNames, type Listing, type RemoteFile } from './listing.js'

/** Files of a repository and the folder that they go to. */
export interface FetchOptions {
  readonly client: HubClient
  readonly listing: Listing
  readonly files: readonly RemoteFile[]
  readonly directory: string
  /** The name that a file gets there, which may have folders; by default its own. */
  readonly nameOf?: (file: RemoteFile) => string
  /** Files at a time. */
  readonly concurrency: number
  /** Whether a file of the right name and size is read again to check its hash; where the place itself says so, it need not be. */
  readonly checkPresent: boolean
}

/** What a download came to. */
export interface Fetched {
  /** Bytes that came over the network or from an unfinished earlier run. */
  readonly bytes: number
  /** Files that were there already. */
  readonly skipped: number
}

/** Brings files into a folder, several at a time, each verified before it gets its name. The first failure ends the others. */
export async function* fetchFiles(options: FetchOptions): WithProgress<Fetched> {
  const { client, files, directory, concurrency, nameOf = ({ path }: RemoteFile) => path } = options
  checkNames(client, files)
  await makeFolder(directory)
  await requireSpace(directory, files, nameOf)
  const total = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)

  return yield* byteProgress('download', total, client.signal, async ({ bytes, notice, signal }) => {
    const failed = new AbortController()
    const unfollow = follow(failed, signal)
    const own = client.with({ signal: failed.signal, onWait: waitNotice(notice) })
    const limit = pLimit(concurrency)
    const results = await Promise.allSettled(
      files.map((file) =>
        limit(async () => {
          own.signal.throwIfAborted()
          return fetchFile({ ...options, client: own }, file, (count) => bytes(count, file.path), notice)
        }).catch((error: unknown) => {
          failed.abort(error)
          throw error
        }),
      ),
    )
    unfollow()
    // All have ended: nothing writes any more when the error is thrown.
    signal.throwIfAborted()
    failed.signal.throwIfAborted()
    const sizes = results.flatMap((result) => (result.status === 'fulfilled' && result.value !== undefined ? [result.value] : []))
    return { bytes: sizes.reduce((sum, size) => sum + size, 0), skipped: files.length - sizes.length }
  })
}

/** The file's size if it was fetched, undefined if it was there. */
async function fetchFile(
  { client, listing, directory, checkPresent, nameOf = ({ path }) => path }: FetchOptions,
  file: RemoteFile,
  onBytes: (count: number) => void,
  notice: (text: string) => void,
): Promise<number | undefined> {
  const path = join(directory, nameOf(file))
  const present = await stat(path).catch(() => undefined)
  if (present?.size === file.sizeBytes) {
    if (!checkPresent || (await hasContent(path, file, { signal: client.signal }))) {
      onBytes(file.sizeBytes)
      return undefined
    }
  }
  const segments = file.path.split('/').map(encodeURIComponent).join('/')
  const url = `${client.endpoint}/${listing.repo}/resolve/${listing.commit}/${segments}`
  const onBusy = (): void => notice(`waiting for another process that downloads ${file.path}`)
  await downloadFile({ client, repo: listing.repo, url, file, path, onBytes, onBusy })
  return file.sizeBytes
}

async function requireSpace(
  directory: string,
  files: readonly RemoteFile[],
  nameOf: (file: RemoteFile) => string,
): Promise<void> {
  let needed = 0
  for (const file of files) {
    const { sizeBytes } = file
    const name = nameOf(file)
    const sizes = [join(directory, name), join(directory, `${name}.partial`)].map(async (candidate) => {
      const entry = await stat(candidate).catch(() => undefined)
      return Math.min(entry?.size ?? 0, sizeBytes)
    })
    needed += sizeBytes - Math.max(...(await Promise.all(sizes)))
  }
  await checkSpace(directory, needed)
}

async function makeFolder(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'EEXIST' && code !== 'ENOTDIR') throw error
    throw MqError.of('FILE_UNWRITABLE', { path: directory, problem: 'it is a file, and a folder is needed' }, { cause: error })
  }
}
