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

/** All tags of all repositories, by name. An absent registry is an empty one. Rejects with REGISTRY_CORRUPT. */
export async function listModels(registry: string): Promise<ListedModel[]> {
  const store = openStore(registry)
  const listed: ListedModel[] = []
  for (const name of await listRepositories(store)) {
    const repository = await findRepository(store, parseModelName(name))
    if (repository === undefined) continue
    for (const tagged of await readTags(store, repository)) listed.push(await describe(store, name, tagged))
  }
  return listed
}

async function describe(store: Store, repository: string, { tag, manifest, descriptor }: Tagged): Promise<ListedModel> {
  const { config, layers } = manifest
  const known = Object.values<string>(mediaTypes).includes(config.mediaType)
  const { format, architecture, quantization } = known
    ? parseModelConfig(store, await readBytes(store, config), config.digest)
    : {}
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
