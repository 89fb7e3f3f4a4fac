import { mkdir, readFile, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import * as v from 'valibot'
import { hashFile, writeWhole } from '../../files/index.js'

const entry = v.object({ stamp: v.string(), sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)) })
const schema = v.object({ version: v.literal(1), files: v.record(v.string(), entry) })

/** Files smaller than this are hashed again rather than noted at once. */
const notedBytes = 2 ** 26

/** SHA-256 of files, each read once for as long as it does not change: by size, inode and times of change, to the nanosecond. */
export interface Digests {
  /** @throws MqError FILE_MISSING, FILE_UNREADABLE, INTERRUPTED. */
  of(path: string, signal?: AbortSignal): Promise<{ readonly sha256: string; readonly sizeBytes: number }>
  /** Notes the digest of a file that was hashed just now, by another. */
  note(path: string, sha256: string): Promise<void>
  /** Writes what is known. Without it only digests of large files are kept. */
  keep(): Promise<void>
}

/** Digests that are kept in a file. @param read whether they are kept: a dry run writes nothing. */
export async function openDigests(file: string, isKept: boolean): Promise<Digests> {
  const known = new Map(Object.entries((await readKnown(file)) ?? {}))
  let changed = false
  const keep = async (): Promise<void> => {
    if (!isKept || !changed) return
    await mkdir(dirname(file), { recursive: true })
    await writeWhole(file, `${JSON.stringify({ version: 1, files: Object.fromEntries(known) })}\n`)
    changed = false
  }
  return {
    keep,
    async note(path, sha256) {
      const place = resolve(path)
      const stamp = await stampOf(place)
      if (stamp === undefined) return
      known.set(place, { stamp, sha256 })
      changed = true
    },
    async of(path, signal) {
      const place = resolve(path)
      const stamp = await stampOf(place)
      const before = stamp === undefined ? undefined : known.get(place)
      if (before !== undefined && before.stamp === stamp) return { sha256: before.sha256, sizeBytes: Number(stamp.split(' ')[0]) }
      const hashed = await hashFile(place, signal)
      // One that changes while it is read is not noted.
      if (stamp !== undefined && stamp === (await stampOf(place))) {
        known.set(place, { stamp, sha256: hashed.sha256 })
        changed = true
        if (hashed.sizeBytes >= notedBytes) await keep()
      }
      return hashed
    },
  }
}

async function readKnown(file: string): Promise<Record<string, v.InferOutput<typeof entry>> | undefined> {
  try {
    return v.parse(schema, JSON.parse(await readFile(file, 'utf8'))).files
  } catch {
    return undefined
  }
}

/** undefined where the file cannot be looked at: reading it says why. */
async function stampOf(path: string): Promise<string | undefined> {
  const found = await stat(path, { bigint: true }).catch(() => undefined)
  return found && `${found.size} ${found.ino} ${found.mtimeNs} ${found.ctimeNs}`
}
