import { MqError } from '../errors/index.js'
import {
  annotations,
  findRepository,
  listRepositories,
  mediaTypes,
  openStore,
  parseModelConfig,
  parseModelName,
  readBytes,
  readTags,
  type Store,
  type Tagged,
} from './store/index.js'

/** One tag of a registry, as `mq registry ls` shows it. */
export interface ListedModel {
  /** `NAMESPACE/NAME:TAG`. */
  readonly name: string
  readonly format: string
  readonly architecture?: string
  readonly quantization?: string
  readonly files: number
  readonly sizeBytes: number
  /** Digest of the manifest. */
  readonly digest: string
  /** Whether a report of `mq verify` is attached. */
  readonly verified: boolean
}

/** A tag or a repository that cannot be read. */
export interface DamagedModel {
  /** `NAMESPACE/NAME:TAG`, or `NAMESPACE/NAME` where its tags are not known. */
  readonly name: string
  readonly problem: string
}

/** Models and damaged entries of a registry. */
export interface RegistryListing {
  readonly models: readonly ListedModel[]
  readonly damaged: readonly DamagedModel[]
}

/**
 * Lists all tags of all repositories, by name. Damaged entries are listed apart. A missing registry counts as empty.
 * @throws MqError FILE_UNREADABLE.
 */
export async function listRegistry(registry: string): Promise<RegistryListing> {
  const store = openStore(registry)
  const models: ListedModel[] = []
  const damaged: DamagedModel[] = []
  const configs = new Map<string, KnownConfig>()
  const orDamaged = async (name: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work()
    } catch (error) {
      if (MqError.from(error).code !== 'REGISTRY_CORRUPT') throw error
      damaged.push({ name, problem: (error as MqError).message })
    }
  }
  for (const name of await listRepositories(store)) {
    const repository = await findRepository(store, parseModelName(name))
    if (repository === undefined) continue
    await orDamaged(name, async () => {
      const { tagged, damaged: tags } = await readTags(store, repository)
      damaged.push(...tags.map(({ tag, problem }) => ({ name: `${name}:${tag}`, problem })))
      for (const entry of tagged)
        await orDamaged(`${name}:${entry.tag}`, async () => void models.push(await describe(store, name, entry, configs)))
    })
  }
  return { models, damaged }
}

/** Lists the models of a registry, without damaged entries. */
export async function listModels(registry: string): Promise<readonly ListedModel[]> {
  return (await listRegistry(registry)).models
}

type KnownConfig = Partial<ReturnType<typeof parseModelConfig>>

/** Describes a tag. @param configs configurations read before, by digest: many tags may share one. */
async function describe(
  store: Store,
  repository: string,
  { tag, manifest, descriptor }: Tagged,
  configs: Map<string, KnownConfig>,
): Promise<ListedModel> {
  const { config, layers } = manifest
  const isOurs = config.mediaType === mediaTypes.ggufConfig || config.mediaType === mediaTypes.filesConfig
  const known = configs.get(config.digest) ?? (isOurs ? configOf(store, await readBytes(store, config), config.digest) : {})
  configs.set(config.digest, known)
  const { format, architecture, quantization } = known
  const files = layers.filter(({ annotations: notes }) => notes?.[annotations.title] !== undefined)
  return {
    name: `${repository}:${tag}`,
    format: format ?? config.mediaType,
    architecture,
    quantization,
    files: files.length,
    sizeBytes: files.reduce((sum, { size }) => sum + size, 0),
    digest: descriptor.digest,
    verified: layers.some(({ mediaType }) => mediaType === mediaTypes.verifyReport),
  }
}

/** Parses a configuration; an invalid one, as clients may push, does not hide the files. */
function configOf(store: Store, bytes: Uint8Array, digest: string): KnownConfig {
  try {
    return parseModelConfig(store, bytes, digest)
  } catch {
    return {}
  }
}
