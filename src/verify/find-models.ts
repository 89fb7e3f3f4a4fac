import { readdir, realpath, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { openGguf, parseShardName } from '../../formats/gguf/index.js'
import { MqError } from '../errors/index.js'

/** Models of folders and files. */
export interface FoundModels {
  /** Files, of split models one shard; each once. */
  readonly paths: readonly string[]
  /** What was left out of a folder, and why. */
  readonly notes: readonly string[]
}

/**
 * The models among paths: files as they are, folders for the GGUF files in them but for importance matrices and the like, the files
 * named in `besides`, and all shards but the first. Headers are read, so that a damaged file is known before anything is run.
 * @throws MqError FILE_MISSING, CHECKPOINT_EMPTY where a folder has no model; GGUF_INVALID and kin.
 */
export async function findModels(given: readonly string[], besides: readonly string[]): Promise<FoundModels> {
  const left = new Set(await Promise.all(besides.map((path) => realpath(path).catch(() => path))))
  const seen = new Set<string>()
  const paths: string[] = []
  const notes: string[] = []
  for (const path of given) {
    const found = await stat(path).catch((error: unknown) => {
      throw MqError.from(error, path)
    })
    const candidates = found.isDirectory() ? await modelsIn(path) : [path]
    let taken = 0
    for (const candidate of candidates) {
      const real = await realpath(candidate)
      if (found.isDirectory() && left.has(real)) {
        notes.push(`${basename(candidate)} is the reference and was skipped.`)
        continue
      }
      const type = await typeOf(candidate)
      if (found.isDirectory() && type !== 'model') {
        notes.push(`${basename(candidate)} is not a model (general.type ${type}) and was skipped.`)
        continue
      }
      taken += 1
      if (!seen.has(real)) paths.push(candidate)
      seen.add(real)
    }
    if (taken === 0) throw MqError.of('CHECKPOINT_EMPTY', { path, problem: 'it has no *.gguf with a model' })
  }
  return { paths, notes }
}

async function modelsIn(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.gguf') && (parseShardName(name)?.index ?? 0) === 0)
  return names.sort().map((name) => join(folder, name))
}

/** `general.type`; files of before it was written are models. */
async function typeOf(path: string): Promise<string> {
  const gguf = await openGguf(path)
  await gguf.close()
  const type = gguf.metadata.get('general.type')
  return type?.type === 'string' ? type.value : 'model'
}
