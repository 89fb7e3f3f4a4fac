import { type FileHandle, open } from 'node:fs/promises'

/** Opens a file, with flags as of fs.open, for as long as `use` takes. @throws Node's own errors, and what `use` throws. */
export async function withFile<Result>(path: string, flags: string, use: (file: FileHandle) => Promise<Result>): Promise<Result> {
  const file = await open(path, flags)
  try {
    return await use(file)
  } finally {
    await file.close()
  }
}
