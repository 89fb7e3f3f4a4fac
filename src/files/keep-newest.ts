import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * Removes the files of a cache that were written longest ago, until there are at most so many. Where two processes do so at once, a file
 * may go that the other has just found; to both it is as if it had never been there.
 * @param ending of the names that count, such as `.json`.
 */
export async function keepNewest(folder: string, most: number, ending: string): Promise<void> {
  const names = (await readdir(folder)).filter((name) => name.endsWith(ending))
  if (names.length <= most) return
  const aged = await Promise.all(names.map(async (name) => ({ name, time: await timeOf(join(folder, name)) })))
  const oldest = aged.toSorted((a, b) => a.time - b.time).slice(0, names.length - most)
  for (const { name } of oldest) await rm(join(folder, name), { force: true })
}

/** When a file was written; one that has gone was the oldest. */
function timeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  )
}
