import type { Hash } from 'node:crypto'
import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { MqError } from '../errors/index.js'
import { follow, readBody } from './abort.js'
import { type HubClient, lostConnection } from './client.js'
import { contentHash, hashPrefix } from './content-hash.js'
import type { RemoteFile } from './listing.js'
import { TransientError } from './retry.js'

/** A connection that brings nothing for so long is given up and opened again. */
const silentForMs = 60_000

export interface FileDownload {
  readonly client: HubClient
  readonly url: string
  readonly file: RemoteFile
  /** Final path. Until the content is whole and verified it is `PATH.partial`. */
  readonly path: string
  /** Hears how many more bytes are there, counting those of an earlier run; a negative count takes some back. */
  readonly onBytes: (count: number) => void
}

/** The state of one file on its way. */
interface Partial {
  readonly path: string
  readonly handle: FileHandle
  hash: Hash
  /** Bytes that are written and hashed. */
  length: number
}

/**
 * Fetches one file: goes on where an earlier run stopped, tries again when the connection is lost, checks the hash, then gives the file
 * its name. Content that began in an earlier run and does not check is fetched once more from the start, since the remote file may have
 * changed. Rejects with DOWNLOAD_CORRUPT, NETWORK, DISK_FULL; when interrupted, `.partial` stays.
 */
export async function downloadFile(download: FileDownload): Promise<void> {
  const { client, file, path, onBytes } = download
  const partialPath = `${path}.partial`
  await mkdir(dirname(path), { recursive: true })
  for (;;) {
    const { begunAt, verified } = await fetchOnce(download, partialPath).catch(async (error: unknown) => {
      if (MqError.from(error).code === 'DOWNLOAD_CORRUPT') await rm(partialPath, { force: true })
      throw error
    })
    if (verified) break
    await rm(partialPath, { force: true })
    onBytes(-file.sizeBytes)
    if (begunAt > 0) continue
    throw MqError.of('DOWNLOAD_CORRUPT', { file: file.path, problem: `its ${file.hash.algorithm} is not ${file.hash.value}` })
  }
  client.signal.throwIfAborted()
  await finishFile(partialPath, path, file)
}

async function fetchOnce(download: FileDownload, path: string): Promise<{ begunAt: number; verified: boolean }> {
  const { client, file } = download
  const partial = await openPartial(download, path)
  try {
    const begunAt = partial.length
    await client.retry(
      async () => {
        if (partial.length < file.sizeBytes) await fetchRest(download, partial)
      },
      () => partial.length,
    )
    await partial.handle.sync()
    return { begunAt, verified: partial.hash.digest('hex') === file.hash.value }
  } finally {
    await partial.handle.close()
  }
}

async function openPartial({ file, client, onBytes }: FileDownload, path: string): Promise<Partial> {
  const present = (await stat(path).catch(() => undefined))?.size ?? 0
  const usable = present <= file.sizeBytes ? present : 0
  const hash = contentHash(file)
  await hashPrefix(path, usable, hash, { signal: client.signal, onBytes })
  const handle = await open(path, usable > 0 ? 'r+' : 'w')
  return { path, handle, hash, length: usable }
}

/** One request for the bytes that are missing. */
async function fetchRest(download: FileDownload, partial: Partial): Promise<void> {
  const { client, url, file } = download
  const silence = new AbortController()
  const unfollow = follow(silence, client.signal)
  const headers: Record<string, string> = partial.length > 0 ? { Range: `bytes=${partial.length}-` } : {}
  const timer = setTimeout(() => silence.abort(), silentForMs)
  try {
    const response = await client.request(url, { headers, signal: silence.signal })
    if (response.status === 200 && partial.length > 0) await restart(download, partial)
    else checkAnswer(response, url, partial.length)
    for await (const chunk of readBody(response, silence.signal)) {
      timer.refresh()
      await append(download, partial, chunk)
    }
  } catch (error) {
    throw isOurs(error) ? error : lostConnection(error, client.signal)
  } finally {
    unfollow()
    clearTimeout(timer)
  }
  if (partial.length < file.sizeBytes) throw new TransientError(`${file.path} ended after ${partial.length} bytes`)
}

async function append({ file, onBytes }: FileDownload, partial: Partial, chunk: Uint8Array): Promise<void> {
  if (partial.length + chunk.byteLength > file.sizeBytes) {
    throw MqError.of('DOWNLOAD_CORRUPT', { file: file.path, problem: `it is longer than its ${file.sizeBytes} bytes` })
  }
  for (let written = 0; written < chunk.byteLength; ) {
    const position = partial.length + written
    const { bytesWritten } = await partial.handle.write(chunk, written, chunk.byteLength - written, position)
    written += bytesWritten
  }
  partial.hash.update(chunk)
  partial.length += chunk.byteLength
  onBytes(chunk.byteLength)
}

/** A server without ranges sends everything again. */
async function restart({ file, onBytes }: FileDownload, partial: Partial): Promise<void> {
  await partial.handle.truncate(0)
  onBytes(-partial.length)
  partial.hash = contentHash(file)
  partial.length = 0
}

function checkAnswer(response: Response, url: string, start: number): void {
  const wanted = start > 0 ? 206 : 200
  const range = response.headers.get('content-range')
  const rightStart = start === 0 || range?.startsWith(`bytes ${start}-`) === true
  if (response.status === wanted && rightStart) return
  void response.body?.cancel()
  const problem =
    response.status === wanted ? `it sent ${range ?? 'no range'} instead of bytes ${start}-` : `HTTP ${response.status}`
  throw MqError.of('HUB_ANSWER_INVALID', { url, problem })
}

async function finishFile(partialPath: string, path: string, file: RemoteFile): Promise<void> {
  try {
    await rename(partialPath, path)
  } catch (error) {
    // Another process fetched the same file into the same place and was first.
    const there = await stat(path).catch(() => undefined)
    if (there?.size !== file.sizeBytes) throw error
  }
}

function isOurs(error: unknown): boolean {
  return error instanceof MqError || error instanceof TransientError || (error as NodeJS.ErrnoException).syscall === 'write'
}
