import { MqError } from '../../errors/index.js'
import { bodyOf } from '../store/index.js'
import type { HttpContext } from './answers.js'

/** Reads a whole request body of bounded size. @throws MqError UPLOAD_REFUSED where it is larger or stalls. */
export async function readBody(context: HttpContext, maxBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of bodyOf(context.env.incoming)) {
    size += chunk.byteLength
    if (size > maxBytes) throw MqError.of('UPLOAD_REFUSED', { problem: `it is larger than ${maxBytes} bytes` })
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** Reads a JSON request body. @returns undefined where it is not JSON. */
export async function readJson(context: HttpContext, maxBytes: number): Promise<unknown> {
  const bytes = await readBody(context, maxBytes)
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    return undefined
  }
}
