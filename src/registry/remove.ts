import { MqError } from '../errors/index.js'
import { findRepository, openStore, parseModelName, readIndex, removeEntries, removeRepository, tagOf } from './store/index.js'

/**
 * Removes a tag, or a model with all its tags, from a registry's folder. The space becomes free with {@link collectGarbage}.
 * @param name `NAMESPACE/NAME:TAG`, or `NAMESPACE/NAME` for all of it, also where its list of tags is damaged.
 * @returns the removed tags.
 * @throws MqError NAME_INVALID, MODEL_NOT_FOUND, REGISTRY_CORRUPT, REGISTRY_BUSY, FILE_UNWRITABLE.
 */
export async function removeModel(name: string, registry: string): Promise<string[]> {
  const { tag, ...model } = parseModelName(name)
  const store = openStore(registry)
  const missing = (): MqError => MqError.of('MODEL_NOT_FOUND', { name, registry: store.directory })
  const repository = await findRepository(store, model)
  if (repository === undefined) throw missing()
  if (tag === undefined) {
    const { manifests } = await readIndex(store, repository).catch(() => ({ manifests: [] }))
    await removeRepository(store, repository)
    return manifests.flatMap((entry) => tagOf(entry) ?? []).map((own) => `${repository.name}:${own}`)
  }
  const gone = await removeEntries(store, repository, (entry) => tagOf(entry) !== tag)
  if (gone.length === 0) throw missing()
  return [`${repository.name}:${tag}`]
}
