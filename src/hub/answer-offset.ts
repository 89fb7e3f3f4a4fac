import { MqError } from '../errors/index.js'
import { refusal } from './refusal.js'
import { TransientError } from './retry.js'

/** The server does not go on from where it was asked to; it has to be asked for the whole file. */
export class CannotContinue extends Error {
  override readonly name = 'CannotContinue'
}

/** What was asked for. */
export interface AskedRange {
  readonly endpoint: string
  readonly repo: string
  readonly url: string
  /** Path of the file, for errors. */
  readonly file: string
  readonly sizeBytes: number
  /** Bytes that are held: the answer may begin at any byte up to here. */
  readonly held: number
  /** Whether the request had a Range header. */
  readonly ranged: boolean
}

/**
 * Where in the file the body of an answer begins, by its status and Content-Range, which some servers send with status 200, too. What is
 * held already is to be skipped.
 * @throws CannotContinue where the whole file has to be asked for; TransientError where asking again may help; MqError ACCESS_DENIED,
 * REPO_MISSING, DOWNLOAD_CORRUPT where the server's file has another length than its listing says, HUB_ANSWER_INVALID.
 */
export function answerOffset(asked: AskedRange, response: Response): number {
  const { status, headers } = response
  const range = contentRange(headers.get('content-range'))
  if (status === 200 || status === 206) {
    const total = range?.total ?? wholeLength(response)
    if (total !== undefined && total !== asked.sizeBytes && (range !== undefined || total > asked.sizeBytes)) {
      throw otherLength(asked, total)
    }
    if (status === 200 && range === undefined) return 0
    if (range?.start !== undefined && range.start <= asked.held) return range.start
    if (asked.ranged)
      throw new CannotContinue(`it sent ${headers.get('content-range') ?? 'no range'} instead of bytes ${asked.held}-`)
    throw unusable(
      asked,
      `it sent ${headers.get('content-range') ?? 'a part of unknown place'} where the whole file was asked for`,
    )
  }
  if (status === 416 && asked.ranged) throw new CannotContinue('HTTP 416')
  // A redirect led to an address that has expired: the hub gives a new one.
  if (status === 403 && response.redirected) throw new TransientError(`HTTP ${status} from ${new URL(response.url).host}`)
  if (status === 404) throw unusable(asked, `${asked.file} is listed and is not there`)
  throw refusal(asked, response)
}

function contentRange(header: string | null): { start: number | undefined; total: number | undefined } | undefined {
  const [, start, total] = /^\s*bytes\s+(?:(\d+)-\d+|\*)\/(\d+|\*)\s*$/i.exec(header ?? '') ?? []
  if (total === undefined) return undefined
  return { start: start === undefined ? undefined : Number(start), total: total === '*' ? undefined : Number(total) }
}

/** The file's length by Content-Length, which says nothing where the body is compressed. */
function wholeLength({ status, headers }: Response): number | undefined {
  const length = headers.get('content-length')
  const encoded = !['', 'identity'].includes(headers.get('content-encoding') ?? '')
  return status === 200 && !encoded && length !== null && /^\d+$/.test(length) ? Number(length) : undefined
}

function otherLength({ file, sizeBytes }: AskedRange, total: number): MqError {
  return MqError.of('DOWNLOAD_CORRUPT', { file, problem: `it has ${total} bytes where its listing says ${sizeBytes}` })
}

function unusable({ url }: AskedRange, problem: string): MqError {
  return MqError.of('HUB_ANSWER_INVALID', { url, problem })
}
