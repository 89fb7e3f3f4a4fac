import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'

/** SHA-256 of bytes or of a text, in hexadecimal digits. */
export function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}

/** SHA-256 of a file, in hexadecimal digits. */
export async function fileSha256(path: string): Promise<string> {
  return sha256(await readFile(path))
}
