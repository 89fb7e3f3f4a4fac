import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { MqError } from '../errors/index.js'
import { follow, readBody } from './abort.js'
import { answerOffset, CannotContinue } from './answer-offset.js'
import { type HubClient, lostConnection } from './client.js'
import type { RemoteFile } from './listing.js'
import { claimPartial, openPartialFile, type PartialFile, type PartialPlace } from './partial-file.js'
import { TransientError } from './retry.js'

/** A connection is looked at this often; one that brought fewer bytes than this since is given up and opened again. */
const lookEveryMs = 60_000
const fewestBytes = 4096
/** Failures count anew only after this much more is held, so that a server which sends a few bytes at a time does not go on for ever. */
const progressBytes = 16 << 10

/** A file to download, and callbacks for its progress. */
export interface FileDownload {
  readonly client: HubClient
  /** `NS/NAME`, for errors. */
  readonly repo: string
  readonly url: string
  readonly file: RemoteFile
  /** Final path. Until the content is whole and verified it is `PATH.partial`. */
  readonly path: string
  /** Called with how many more bytes are there, counting those of an earlier run; a negative count takes some back. */
  readonly onBytes: (count: number) => void
  /** Called where another process downloads the same file and is waited for. */
  readonly onBusy?: () => void
}

/**
 * Fetches one file: goes on where an earlier run stopped, tries again when the connection is lost, checks the hash, then gives the file
 * its name. Content that was put together from several answers and does not check, or a server that does not go on where it is asked to,
 * makes it begin anew once. Where another process fetches the same file into the same place, it waits for that.
 * @throws MqError DOWNLOAD_CORRUPT, NETWORK, ACCESS_DENIED, HUB_ANSWER_INVALID, DISK_FULL, FILE_UNWRITABLE, OUTPUT_BUSY; when
 * interrupted, `.partial` stays.
 */
export async function downloadFile(download: FileDownload): Promise<void> {
  const { client, file, path, onBytes, onBusy = () => undefined } = download
  await mkdir(dirname(path), { recursive: true })
  const place = await claimPartial({ path, file, signal: client.signal, onWait: onBusy })
  if (place === undefined) {
    onBytes(file.sizeBytes)
    return
  }
  let keep = true
  try {
    await fetchInto(download, place)
  } catch (error) {
    keep = MqError.from(error).code !== 'DOWNLOAD_CORRUPT'
    throw error
  } finally {
    await place.release(keep)
  }
}

/** What was learned about the server while this file came. */
interface Course {
  /** Whether the file is asked for from its first byte, as from a server that cannot be asked for less. */
  whole: boolean
  /** Whether the bytes come from more than one answer, or from an earlier run. */
  pieced: boolean
}

async function fetchInto(download: FileDownload, place: PartialPlace): Promise<void> {
  const { client, file, onBytes } = download
  const partial = await openPartialFile(place.path, file, { signal: client.signal, onBytes })
  try {
    const course: Course = { whole: false, pieced: partial.length > 0 }
    for (let anew = false; ; anew = true) {
      await fetchAll(download, partial, course)
      if (partial.hash() === file.hash.value) break
      const again = course.pieced && !anew
      await partial.clear()
      if (!again) {
        throw MqError.of('DOWNLOAD_CORRUPT', { file: file.path, problem: `its ${file.hash.algorithm} is not ${file.hash.value}` })
      }
      course.whole = true
      course.pieced = false
    }
    await partial.handle.sync()
    client.signal.throwIfAborted()
    await place.finish(partial.handle)
  } finally {
    await partial.handle.close()
  }
}

async function fetchAll(download: FileDownload, partial: PartialFile, course: Course): Promise<void> {
  const { client, file } = download
  const attempt = async (): Promise<void> => {
    if (partial.length === file.sizeBytes) return
    try {
      await fetchRest(download, partial, course)
    } catch (error) {
      if (!(error instanceof CannotContinue)) throw error
      course.whole = true
      await fetchRest(download, partial, course)
    }
  }
  await client.retry(attempt, { progress: () => partial.length, step: Math.min(progressBytes, file.sizeBytes) })
}

/** One request for the bytes that are missing. Of an answer that begins earlier, what is held already is passed over. */
async function fetchRest(download: FileDownload, partial: PartialFile, course: Course): Promise<void> {
  const { client, repo, url, file } = download
  const slow = new AbortController()
  const unfollow = follow(slow, client.signal)
  const ranged = partial.length > 0 && !course.whole
  const headers = { 'Accept-Encoding': 'identity', ...(ranged && { Range: `bytes=${partial.length}-` }) }
  let received = 0
  let before = 0
  const watch = setInterval(() => {
    if (received - before < fewestBytes) slow.abort()
    before = received
  }, lookEveryMs)
  try {
    const response = await client.request(url, { headers, signal: slow.signal })
    let offset = await offsetOf(response, {
      endpoint: client.endpoint,
      repo,
      url,
      file: file.path,
      sizeBytes: file.sizeBytes,
      held: partial.length,
      ranged,
    })
    if (partial.length > 0) course.pieced = true
    for await (const chunk of readBody(response, slow.signal)) {
      received += chunk.byteLength
      if (offset + chunk.byteLength > file.sizeBytes) {
        throw MqError.of('DOWNLOAD_CORRUPT', { file: file.path, problem: `it is longer than its ${file.sizeBytes} bytes` })
      }
      const fresh = chunk.subarray(Math.min(chunk.byteLength, Math.max(0, partial.length - offset)))
      offset += chunk.byteLength
      if (fresh.byteLength > 0) await partial.append(fresh)
    }
  } catch (error) {
    const known = error instanceof MqError || error instanceof TransientError || error instanceof CannotContinue
    throw known ? error : lostConnection(error, client.signal)
  } finally {
    unfollow()
    clearInterval(watch)
  }
  if (partial.length < file.sizeBytes)
    throw new TransientError(`${file.path} ended after ${partial.length} of ${file.sizeBytes} bytes`)
}

async function offsetOf(response: Response, asked: Parameters<typeof answerOffset>[0]): Promise<number> {
  try {
    return answerOffset(asked, response)
  } catch (error) {
    await response.body?.cancel().catch(() => undefined)
    throw error
  }
}
