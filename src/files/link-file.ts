import { copyFile, mkdir, readlink, rm, symlink } from 'node:fs/promises'
import { dirname, relative } from 'node:path'

/**
 * Makes a relative symbolic link to a file, in place of what is there, with the folders around it; a copy where links are not allowed, as
 * the tools of Hugging Face do.
 * @throws Node's own errors.
 */
export async function linkFile(path: string, target: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  const wanted = relative(dirname(path), target)
  if ((await readlink(path).catch(() => undefined)) === wanted) return
  await rm(path, { force: true })
  try {
    await symlink(wanted, path)
  } catch (error) {
    if (!['EPERM', 'ENOSYS', 'ENOTSUP'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    await copyFile(target, path)
  }
}
