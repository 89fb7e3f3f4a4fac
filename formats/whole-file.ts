import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { writeFully } from './file-bytes.js'

/** Appends bytes to the file in the making. The bytes may be reused once the promise is fulfilled. */
export type Append = (bytes: Uint8Array) => Promise<void>

/** A file in the making, under a name of its own until it is whole. */
export interface UnfinishedFile {
  readonly handle: FileHandle
  /** Flushes it to the disk and gives it its final name; a file of that name is replaced. @throws Node's own errors. */
  finish(): Promise<void>
  /** Removes it. Does nothing where it is finished. */
  discard(): Promise<void>
}

/**
 * Begins a file that gets its final name when it is whole.
 * @param partial its name until then, in the same file system.
 * @throws Node's own errors.
 */
export async function beginFile(path: string, partial = `${path}.partial`): Promise<UnfinishedFile> {
  const handle = await open(partial, 'w')
  let finished = false
  return {
    handle,
    async finish() {
      await handle.sync()
      await handle.close()
      await rename(partial, path)
      finished = true
    },
    async discard() {
      if (finished) return
      await handle.close().catch(() => {})
      await rm(partial, { force: true })
    },
  }
}

/**
 * Writes a file that has its final name only when it is whole. What `write` throws removes the partial file and is thrown on.
 * @param partial its name until then; see beginFile.
 * @throws Node's own errors, and what `write` throws.
 */
export async function writeWholeFile(path: string, write: (append: Append) => Promise<void>, partial?: string): Promise<void> {
  const file = await beginFile(path, partial)
  let length = 0
  try {
    await write(async (bytes) => {
      await writeFully(file.handle, bytes, length)
      length += bytes.byteLength
    })
    await file.finish()
  } finally {
    await file.discard()
  }
}
