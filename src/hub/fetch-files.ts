import { mkdir, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import pLimit from 'p-limit'
import { MqError } from '../errors/index.js'
import type { WithProgress } from '../progress/index.js'
import { follow } from './abort.js'
import { byteProgress } from './byte-progress.js'
import type { HubClient } from './client.js'
import { hasContent } from './content-hash.js'
import { downloadFile } from './download-file.js'
import type { Listing, RemoteFile } from './listing.js'

export interface FetchOptions {
  readonly client: HubClient
  readonly listing: Listing
  readonly files: readonly RemoteFile[]
  readonly directory: string
  /** Files at a time. */
  readonly concurrency: number
  /** Whether a file of the right name and size is read again to check its hash; where the place itself says so, it need not be. */
  readonly checkPresent: boolean
}

export interface Fetched {
  /** Bytes that came over the network or from an unfinished earlier run. */
  readonly bytes: number
  /** Files that were there already. */
  readonly skipped: number
}

/** Brings files into a folder, several at a time, each verified before it gets its name. The first failure ends the others. */
export async function* fetchFiles(options: FetchOptions): WithProgress<Fetched> {
  const { client, files, directory, concurrency } = options
  await mkdir(directory, { recursive: true })
  await requireSpace(directory, files)
  const total = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)

  return yield* byteProgress('download', total, client.signal, async ({ bytes, signal }) => {
    const failed = new AbortController()
    const unfollow = follow(failed, signal)
    const own = client.withSignal(failed.signal)
    const limit = pLimit(concurrency)
    const results = await Promise.allSettled(
      files.map((file) =>
        limit(async () => {
          own.signal.throwIfAborted()
          return fetchFile({ ...options, client: own }, file, (count) => bytes(count, file.path))
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
  { client, listing, directory, checkPresent }: FetchOptions,
  file: RemoteFile,
  onBytes: (count: number) => void,
): Promise<number | undefined> {
  const path = join(directory, file.path)
  const present = await stat(path).catch(() => undefined)
  if (present?.size === file.sizeBytes) {
    if (!checkPresent || (await hasContent(path, file, { signal: client.signal }))) {
      onBytes(file.sizeBytes)
      return undefined
    }
  }
  const segments = file.path.split('/').map(encodeURIComponent).join('/')
  const url = `${client.endpoint}/${listing.repo}/resolve/${listing.commit}/${segments}`
  await downloadFile({ client, url, file, path, onBytes })
  return file.sizeBytes
}

async function requireSpace(directory: string, files: readonly RemoteFile[]): Promise<void> {
  let needed = 0
  for (const { path, sizeBytes } of files) {
    const sizes = [join(directory, path), join(directory, `${path}.partial`)].map(async (candidate) => {
      const entry = await stat(candidate).catch(() => undefined)
      return Math.min(entry?.size ?? 0, sizeBytes)
    })
    needed += sizeBytes - Math.max(...(await Promise.all(sizes)))
  }
  const { bavail, bsize } = await statfs(directory)
  if (bavail * bsize < needed) throw MqError.of('DISK_FULL', { path: directory, needed, available: bavail * bsize })
}
