import { open, rename, rm } from 'node:fs/promises'

/** Appends bytes to the file in the making. The bytes may be reused once the promise is fulfilled. */
export type Append = (bytes: Uint8Array) => Promise<void>

/**
 * Writes a file that has its final name only when it is whole: `PATH.partial`, flushed to the disk, then renamed.
 * Whatever `write` throws removes the partial file and is thrown on. An existing file of the name is replaced.
 */
export async function writeWholeFile(path: string, write: (append: Append) => Promise<void>): Promise<void> {
  const partial = `${path}.partial`
  const handle = await open(partial, 'w')
  try {
    await write(async (bytes) => {
      let written = 0
      while (written < bytes.byteLength) {
        const { bytesWritten } = await handle.write(bytes, written, bytes.byteLength - written)
        written += bytesWritten
      }
    })
    await handle.sync()
    await handle.close()
    await rename(partial, path)
  } catch (error) {
    await handle.close().catch(() => {})
    await rm(partial, { force: true })
    throw error
  }
}
