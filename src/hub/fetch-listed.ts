import { copyFile, link, mkdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { WithProgress } from '../progress/index.js'
import { type ConnectOptions, connect } from './connect.js'
import { hubEndpoint } from './endpoint.js'
import { fetchFiles } from './fetch-files.js'
import { repositoryCache } from './hub-cache.js'
import { checkNames, type Listing } from './listing.js'

/**
 * Brings listed files into a folder, under their names in the repository. What the cache of the tools of Hugging Face holds is taken from
 * there. Every file is checked against the hash of the listing.
 * @param listing a repository, a commit, and the files that are wanted.
 * @throws MqError ACCESS_DENIED, NETWORK, HUB_ANSWER_INVALID, DOWNLOAD_CORRUPT, DISK_FULL, INTERRUPTED.
 */
export async function* fetchListed(listing: Listing, directory: string, options: ConnectOptions = {}): WithProgress<void> {
  const client = await connect(options, hubEndpoint())
  checkNames(client, listing.files)
  const cache = repositoryCache(listing.repo)
  for (const file of listing.files) {
    const blob = join(cache.blobs, cache.nameOf(file))
    if ((await stat(blob).catch(() => undefined))?.size !== file.sizeBytes) continue
    const path = join(directory, file.path)
    await mkdir(dirname(path), { recursive: true })
    // Where it cannot be copied, it is fetched.
    await link(blob, path).catch(() => copyFile(blob, path).catch(() => {}))
  }
  yield* fetchFiles({ client, listing, files: listing.files, directory, concurrency: 4, checkPresent: true })
}
