import type { ByteSource } from '../../formats/byte-source.js'
import { FormatError } from '../../formats/format-error.js'
import { MqError } from '../errors/index.js'
import { readBody } from './abort.js'
import { type HubClient, lostConnection } from './client.js'
import { refusal } from './refusal.js'
import { TransientError } from './retry.js'

/** The front of a file, where headers stand, is fetched in one piece of at least this. */
const frontBytes = 2 ** 16

/** No header is longer. */
const maxRangeBytes = 2 ** 28

/**
 * A remote file that is read by HTTP ranges: what is asked for, and no more but at its front.
 * @param sizeBytes of the file, where it is known; else the server is asked.
 * @throws MqError NETWORK; HUB_ANSWER_INVALID where the server sends whole files or another length; FILE_MISSING.
 */
export async function rangeSource(client: HubClient, url: string, sizeBytes?: number): Promise<ByteSource> {
  const front = await client.retry(async () => fetchRange(client, url, 0, frontBytes))
  const byteLength = sizeBytes ?? front.total
  if (front.total !== byteLength) throw unusable(client, url, `it has ${front.total} bytes where ${byteLength} were announced`)
  let held = front.bytes
  return {
    name: url,
    byteLength,
    async slice(start, end) {
      if (end > byteLength) throw new FormatError('INPUT_TRUNCATED', { file: url, wanted: end, present: byteLength })
      if (end - start > maxRangeBytes) throw unusable(client, url, `${end - start} bytes of it would be its header`)
      if (end <= held.byteLength) return held.subarray(start, end)
      if (start > held.byteLength) return (await client.retry(async () => fetchRange(client, url, start, end))).bytes
      const rest = await client.retry(async () => fetchRange(client, url, held.byteLength, end))
      held = Buffer.concat([held, rest.bytes])
      return held.subarray(start, end)
    },
    async close() {
      held = new Uint8Array(0)
    },
  }
}

async function fetchRange(
  client: HubClient,
  url: string,
  start: number,
  end: number,
): Promise<{ readonly bytes: Uint8Array; readonly total: number }> {
  const response = await client.request(url, { headers: { Range: `bytes=${start}-${end - 1}` } })
  if (response.status !== 206) throw await refused(client, url, response)
  const range = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(response.headers.get('content-range') ?? '')
  const [from, last, total] = [Number(range?.[1]), Number(range?.[2]), Number(range?.[3])]
  if (from !== start || !(last < end) || !Number.isSafeInteger(total) || last !== Math.min(end, total) - 1) {
    void response.body?.cancel()
    throw unusable(client, url, 'it answers with another range than was asked for')
  }
  const bytes = await readAll(client, url, response, last + 1 - start)
  if (bytes.byteLength < last + 1 - start) throw new TransientError(`${url} ended early`)
  return { bytes, total }
}

async function readAll(client: HubClient, url: string, response: Response, maxBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let seen = 0
  try {
    for await (const chunk of readBody(response, client.signal)) {
      seen += chunk.byteLength
      if (seen > maxBytes) throw unusable(client, url, `it is longer than ${maxBytes} bytes`)
      chunks.push(chunk)
    }
  } catch (error) {
    throw error instanceof MqError ? error : lostConnection(error, client.signal)
  }
  return Buffer.concat(chunks)
}

async function refused(client: HubClient, url: string, response: Response): Promise<MqError> {
  await response.body?.cancel()
  if (response.status === 404) return MqError.of('FILE_MISSING', { path: url })
  if (response.status === 401 || response.status === 403) {
    const repo = url.slice(client.endpoint.length + 1).replace(/\/resolve\/.*$/, '')
    return refusal({ endpoint: client.endpoint, repo }, response)
  }
  const problem = response.status === 200 ? 'it sends whole files where a range was asked for' : `HTTP ${response.status}`
  return unusable(client, url, problem)
}

function unusable({ endpoint }: HubClient, url: string, problem: string): MqError {
  return MqError.of('HUB_ANSWER_INVALID', { url: url.startsWith(endpoint) ? url : endpoint, problem })
}
