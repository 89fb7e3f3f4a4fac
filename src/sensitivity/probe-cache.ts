import { createHash } from 'node:crypto'
import { mkdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Blueprint } from '../blueprint.js'
import { cacheDirectory } from '../hub/index.js'
import { keepNewest } from '../keep-newest.js'
import type { Importance, KnownInputs } from '../quantize/index.js'
import { writeWhole } from '../write-whole.js'

/** Mean divergence of each chunk, by what was probed. */
export type ProbeResults = ReadonlyMap<string, readonly number[]>

/** What probes of a model are kept under. A file each; the newest are kept. */
export interface ProbeCache {
  readonly known: ProbeResults
  /** Adds one, and writes all: a run that is stopped goes on from there. */
  add(probe: string, chunks: readonly number[]): Promise<void>
}

const mostFiles = 32
/** Of results under other rules than these nothing is taken. */
const version = 2

/** Everything that results depend on. */
interface Identity {
  readonly blueprint: Blueprint
  readonly calibration?: KnownInputs | undefined
  readonly importance?: Importance | undefined
  readonly text: string
  readonly base: string
}

/** Opens what is kept of earlier probes of the same model, calibration, text and base; what cannot be read is as if it were not there. */
export async function openProbeCache(identity: Identity, folder = join(cacheDirectory(), 'probes')): Promise<ProbeCache> {
  const path = join(folder, `${await digestOf(identity)}.json`)
  const known = await readResults(path)
  return {
    known,
    async add(probe, chunks) {
      known.set(probe, chunks)
      // A cache that cannot be written costs time, not the result.
      await writeResults(folder, path, known).catch(() => {})
    },
  }
}

async function digestOf({ blueprint, calibration, importance, text, base }: Identity): Promise<string> {
  const files = await Promise.all(
    blueprint.files.map(async (file) => {
      const { size, mtimeMs } = await stat(file)
      return [file, size, mtimeMs]
    }),
  )
  const shapes = blueprint.tensors.map(({ name, shape }) => [name, shape])
  const hash = createHash('sha256')
  hash.update(JSON.stringify([version, files, shapes, calibration?.digest ?? null, base, text]))
  for (const { name } of blueprint.tensors) {
    const weights = importance?.(name)
    if (weights === undefined) continue
    hash.update(`${name} ${weights.length}\n`)
    hash.update(new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength))
  }
  return hash.digest('hex')
}

async function readResults(path: string): Promise<Map<string, readonly number[]>> {
  const text = await readFile(path, 'utf8').catch(() => '[]')
  try {
    const entries: unknown = JSON.parse(text)
    return new Map(Array.isArray(entries) ? entries.filter(isEntry) : [])
  } catch {
    return new Map()
  }
}

function isEntry(entry: unknown): entry is [string, number[]] {
  if (!Array.isArray(entry)) return false
  const [name, chunks]: unknown[] = entry
  return typeof name === 'string' && Array.isArray(chunks) && chunks.every((chunk) => Number.isFinite(chunk))
}

async function writeResults(folder: string, path: string, results: ProbeResults): Promise<void> {
  await mkdir(folder, { recursive: true })
  await writeWhole(path, JSON.stringify([...results]))
  await keepNewest(folder, mostFiles, '.json')
}
