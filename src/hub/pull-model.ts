import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { MqError } from '../errors/index.js'
import type { WithProgress } from '../progress/index.js'
import type { ConnectOptions } from './connect.js'
import { hubEndpoint, isOffline } from './endpoint.js'
import { repositoryCache } from './hub-cache.js'
import { pullRepository } from './pull-repository.js'
import { parseRemoteName } from './repository-name.js'
import { selectGguf } from './select-gguf.js'

/**
 * A model of a hub on this machine, for work that takes a path: what is needed of it is pulled into the cache that the tools of Hugging Face
 * share, and what is there already is not fetched again. With HF_HUB_OFFLINE, or where the hub does not answer, what was pulled before is used.
 * @param name `NS/NAME[:TAG][@REVISION]`.
 * @returns the folder of a checkpoint, or a GGUF file, of a split one the first shard.
 * @throws MqError as pullRepository.
 */
export async function* pullModel(name: string, options: ConnectOptions = {}): WithProgress<{ readonly path: string }> {
  const { repo, tag, revision = 'main' } = parseRemoteName(name)
  const earlier = await repositoryCache(repo).find(revision)
  const known = earlier === undefined ? undefined : await pathIn(earlier, tag)
  if (isOffline()) {
    if (known !== undefined) return { path: known }
    const problem = `HF_HUB_OFFLINE is set, and ${name} is not in the cache`
    throw MqError.of('NETWORK', { url: options.endpoint ?? hubEndpoint(), problem })
  }
  try {
    const { directory, files } = yield* pullRepository({ ...options, repo: name })
    const model = files.find((path) => path.endsWith('.gguf'))
    return { path: model === undefined ? directory : join(directory, model) }
  } catch (error) {
    const { code, message } = MqError.from(error)
    if (known === undefined || (code !== 'NETWORK' && code !== 'HUB_ANSWER_INVALID')) throw error
    yield { stage: 'download', done: 0, total: 0, unit: 'bytes', notice: `${message} The copy of ${name} in the cache is used.` }
    return { path: known }
  }
}

/** The checkpoint or GGUF in a snapshot; undefined where it holds neither. */
async function pathIn(snapshot: string, tag: string | undefined): Promise<string | undefined> {
  const names = await readdir(snapshot, { recursive: true })
  if (tag === undefined && names.some((name) => name.endsWith('.safetensors'))) return snapshot
  const [model] = selectGguf(names.toSorted(), tag)
  return model === undefined ? undefined : join(snapshot, model)
}
