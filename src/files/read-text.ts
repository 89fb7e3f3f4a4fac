import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { basename } from 'node:path'
import { MqError } from '../errors/index.js'

/** Bytes of a text that is held whole: some 30 million tokens. */
const maxTextBytes = 2 ** 27
/** No ordinary text has so many bytes for each token over a whole chunk. */
const bytesPerToken = 256

/** A UTF-8 text, or as much of it as is needed. */
export interface Text {
  readonly content: string
  /** Of the file, without its folder. */
  readonly name: string
  /** Of the whole file. */
  readonly sha256: string
}

/**
 * Reads a text file, in pieces. Of one that is too large to be held, the beginning is read where it is known how much is needed.
 * @param needed.chunks how many chunks are used; all of the text where it is not given.
 * @param needed.contextLength tokens of a chunk.
 * @param maxBytes what may be held, 128 MiB by default.
 * @throws MqError TEXT_TOO_LARGE; FILE_MISSING and the like.
 */
export async function readText(
  path: string,
  { chunks, contextLength = 512 }: { readonly chunks?: number; readonly contextLength?: number } = {},
  maxBytes = maxTextBytes,
): Promise<Text> {
  try {
    const file = await open(path, 'r')
    try {
      const { size } = await file.stat()
      const wanted = size <= maxBytes ? size : (chunks ?? Number.POSITIVE_INFINITY) * contextLength * bytesPerToken
      if (wanted > maxBytes) throw MqError.of('TEXT_TOO_LARGE', { file: path, size, limit: maxBytes })
      const hash = createHash('sha256')
      const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
      const parts: string[] = []
      let held = 0
      for await (const piece of file.createReadStream({ highWaterMark: 2 ** 20, autoClose: false }) as AsyncIterable<Buffer>) {
        hash.update(piece)
        if (held >= wanted) continue
        parts.push(decoder.decode(piece, { stream: true }))
        held += piece.length
      }
      // A character that is cut off at the end of the file is one that is not valid.
      if (size <= maxBytes) parts.push(decoder.decode())
      return { content: parts.join(''), name: basename(path), sha256: hash.digest('hex') }
    } finally {
      await file.close()
    }
  } catch (error) {
    throw MqError.from(error, path)
  }
}

/**
 * Reads a whole file of text that came from elsewhere, such as JSON.
 * @param maxBytes what is refused beyond.
 * @throws MqError TEXT_TOO_LARGE; FILE_MISSING and the like.
 */
export async function readWhole(path: string, maxBytes: number): Promise<string> {
  return (await readText(path, {}, maxBytes)).content
}
