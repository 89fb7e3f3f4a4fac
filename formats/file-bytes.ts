/** What can be read at a position: a FileHandle, or a descriptor with Node's `read`. */
interface Readable {
  read(bytes: Uint8Array, at: number, length: number, position: number): Promise<{ readonly bytesRead: number }>
}

/** What can be written at a position. */
interface Writable {
  write(bytes: Uint8Array, at: number, length: number, position: number): Promise<{ readonly bytesWritten: number }>
}

/**
 * Fills `bytes` from a position of a file, in as many reads as that takes.
 * @param position byte of the file.
 * @returns how many bytes were read: fewer than `bytes` holds only where the file ends.
 * @throws Node's own errors.
 */
export async function readFully(file: Readable, bytes: Uint8Array, position: number): Promise<number> {
  for (let filled = 0; filled < bytes.byteLength; ) {
    const { bytesRead } = await file.read(bytes, filled, bytes.byteLength - filled, position + filled)
    if (bytesRead === 0) return filled
    filled += bytesRead
  }
  return bytes.byteLength
}

/**
 * Writes all of `bytes` at a position of a file, in as many writes as that takes.
 * @param position byte of the file.
 * @throws Node's own errors.
 */
export async function writeFully(file: Writable, bytes: Uint8Array, position: number): Promise<void> {
  for (let written = 0; written < bytes.byteLength; ) {
    const { bytesWritten } = await file.write(bytes, written, bytes.byteLength - written, position + written)
    written += bytesWritten
  }
}
