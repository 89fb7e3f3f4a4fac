import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { isRelativePath, writeWhole } from '../../files/index.js'
import type { RemoteFile } from '../listing.js'

const fileSchema = v.object({
  path: v.pipe(v.string(), v.check(isRelativePath)),
  sizeBytes: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  hash: v.object({ algorithm: v.picklist(['sha256', 'git-sha1']), value: v.pipe(v.string(), v.regex(/^[0-9a-f]{40,64}$/)) }),
})
const recordSchema = v.object({
  version: v.literal(1),
  endpoint: v.string(),
  name: v.string(),
  /** Of the content, from the cache's folder on, with "/". */
  folder: v.pipe(v.string(), v.check(isRelativePath)),
  files: v.pipe(v.array(fileSchema), v.minLength(1)),
  usedAt: v.pipe(v.string(), v.isoTimestamp()),
})

/** What a name meant at an endpoint when it was last asked for: enough to run it without the endpoint. */
export type CacheRecord = v.InferOutput<typeof recordSchema>

/** The folder that is named by the hashes of its files. */
export function contentFolder(repo: string, files: readonly RemoteFile[]): string {
  return `models/${repo}/${contentName(files)}`
}

/** Name of the cache folder for files of this content: hexadecimal digits of a SHA-256 over their hashes. */
export function contentName(files: readonly Pick<RemoteFile, 'path' | 'hash'>[]): string {
  const hash = createHash('sha256')
  for (const { path, hash: content } of files) hash.update(`${path}\0${content.value}\n`)
  return hash.digest('hex').slice(0, 16)
}

/** What is known of a name, where all of its files are there. */
export async function findRecord(cache: string, endpoint: string, name: string): Promise<CacheRecord | undefined> {
  const record = await readRecord(recordPath(cache, endpoint, name))
  if (record === undefined) return undefined
  for (const { path, sizeBytes } of record.files) {
    const present = await stat(join(cache, record.folder, path)).catch(() => undefined)
    if (present?.size !== sizeBytes) return undefined
  }
  return record
}

/** Writes what a name meant when it was last asked for. @throws MqError FILE_UNWRITABLE, DISK_FULL. */
export async function writeRecord(cache: string, record: Omit<CacheRecord, 'version' | 'usedAt'>): Promise<void> {
  await mkdir(join(cache, 'names'), { recursive: true })
  const whole: CacheRecord = { version: 1, ...record, usedAt: new Date().toISOString() }
  await writeWhole(recordPath(cache, record.endpoint, record.name), `${JSON.stringify(whole)}\n`)
}

/** All records of a cache, with the paths of their files. */
export async function readRecords(cache: string): Promise<{ path: string; record: CacheRecord }[]> {
  const names = await readdir(join(cache, 'names')).catch(() => [])
  const paths = names.filter((name) => name.endsWith('.json')).map((name) => join(cache, 'names', name))
  const records = await Promise.all(paths.map(async (path) => ({ path, record: await readRecord(path) })))
  return records.flatMap(({ path, record }) => (record === undefined ? [] : [{ path, record }]))
}

function recordPath(cache: string, endpoint: string, name: string): string {
  const key = createHash('sha256').update(`${endpoint}\n${name}`).digest('hex').slice(0, 32)
  return join(cache, 'names', `${key}.json`)
}

async function readRecord(path: string): Promise<CacheRecord | undefined> {
  try {
    const result = v.safeParse(recordSchema, JSON.parse(await readFile(path, 'utf8')))
    return result.success ? result.output : undefined
  } catch {
    return undefined
  }
}
