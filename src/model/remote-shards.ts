import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { MqError } from '../errors/index.js'
import { fetchFiles, type HubClient, type Listing, type RemoteFile } from '../hub/index.js'
import type { WithProgress } from '../progress/index.js'

/** Weight files of a hub's model that come to this machine one by one, and go when they have been read. */
export interface RemoteShards {
  /** Where they lie while they are here. */
  readonly directory: string
  /** What a file's bytes hash to, by its number among the blueprint's files; undefined for files that are here anyway. */
  readonly contents: readonly (string | undefined)[]
  readonly sizes: readonly number[]
  /** Brings a file, verified by its hash; what an earlier run has left of it is taken up. @throws MqError as downloads do. */
  fetch(file: number, signal?: AbortSignal): WithProgress<void>
  /** Removes all files but these, and what is left of downloads that were ended. */
  keepOnly(files: ReadonlySet<number>): Promise<void>
  /** Removes the folder. */
  remove(): Promise<void>
}

/**
 * The weight files of a listing.
 * @param names of the files, in the order of the blueprint's; undefined for those that are on this machine.
 * @throws MqError MODEL_NOT_FOUND where one is not listed.
 */
export function remoteShards(
  client: HubClient,
  listing: Listing,
  names: readonly (string | undefined)[],
  directory: string,
): RemoteShards {
  const files = names.map((name): RemoteFile | undefined => {
    if (name === undefined) return undefined
    const found = listing.files.find(({ path }) => path === name)
    if (found === undefined) throw MqError.of('MODEL_NOT_FOUND', { name: `${listing.repo}/${name}`, registry: client.endpoint })
    return found
  })
  return {
    directory,
    contents: files.map((file) => file && `${file.hash.algorithm}:${file.hash.value}`),
    sizes: files.map((file) => file?.sizeBytes ?? 0),
    async *fetch(number, signal) {
      const file = files[number]
      if (file === undefined) return
      const own = signal === undefined ? client : client.with({ signal })
      yield* fetchFiles({ client: own, listing, files: [file], directory, concurrency: 1, checkPresent: true })
    },
    async keepOnly(kept) {
      const wanted = new Set([...kept].flatMap((number) => files[number]?.path ?? []))
      const present = await readdir(directory).catch(() => [])
      for (const name of present) {
        const whole = name.replace(/\.partial(?:\..*)?$/, '')
        if (!wanted.has(whole)) await rm(join(directory, name), { recursive: true, force: true })
      }
    },
    remove: () => rm(directory, { recursive: true, force: true }),
  }
}
