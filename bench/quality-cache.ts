import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { llamaVersion } from '../src/runner/version.js'
import type { Prediction } from './quality-lab.js'

/** Measurements of earlier runs, by the SHA-256 of the model's file and of the reference's logits: what is the same is not measured again. */
export interface MeasurementCache {
  /** Where calibrations are kept, too. */
  readonly folder?: string
  get(key: string): Prediction | undefined
  put(key: string, prediction: Prediction): Promise<void>
}

/** Opens the measurements that are kept in a folder. */
export async function openCache(folder: string): Promise<MeasurementCache> {
  await mkdir(folder, { recursive: true })
  const path = join(folder, `predictions-${llamaVersion}.json`)
  const known = await readFile(path, 'utf8').then(
    (text) => new Map(Object.entries(JSON.parse(text) as Record<string, Prediction>)),
    () => new Map<string, Prediction>(),
  )
  return {
    folder,
    get: (key) => known.get(key),
    async put(key, prediction) {
      known.set(key, prediction)
      await writeFile(path, JSON.stringify(Object.fromEntries(known), null, 1))
    },
  }
}

/** SHA-256 of a file, in hexadecimal digits. */
export async function fileDigest(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of createReadStream(path)) hash.update(piece as Buffer)
  return hash.digest('hex')
}
