import type { ByteSource } from './byte-source.js'
import { FormatError } from './format-error.js'

const start = 'version https://git-lfs.github.com/spec/'
/** A pointer is some 130 bytes long; the specification allows 1024. */
const maxPointerBytes = 1024

/**
 * Whether a file is the text that Git LFS leaves in place of a file that was not downloaded.
 * Source: docs/spec.md of github.com/git-lfs/git-lfs.
 * @param front its first bytes, at least 40 of them where it has so many.
 */
export function isLfsPointer(front: Uint8Array, byteLength: number): boolean {
  return byteLength <= maxPointerBytes && Buffer.from(front.subarray(0, start.length)).toString('latin1') === start
}

/** @throws FormatError LFS_POINTER where a source is one. */
export async function refuseLfsPointer(source: ByteSource): Promise<void> {
  const { name, byteLength } = source
  if (byteLength > maxPointerBytes) return
  if (isLfsPointer(await source.slice(0, byteLength), byteLength)) throw new FormatError('LFS_POINTER', { file: name })
}
