import { MqError } from '../errors/index.js'
import type { HubClient } from './client.js'
import type { Listing } from './listing.js'

const shardPattern = /^(.*)-(\d{5})-of-(\d{5})(\.(?:gguf|safetensors))$/

/**
 * Checks that of each split file that is to be fetched all shards are listed. An upload that is going on has not.
 * @throws MqError REPO_INCOMPLETE.
 */
export function checkShardsListed({ endpoint }: HubClient, { repo, files }: Listing, chosen: readonly string[]): void {
  const listed = new Set(files.map(({ path }) => path))
  for (const path of chosen) {
    const [, stem, , count, ending] = shardPattern.exec(path) ?? []
    if (stem === undefined || count === undefined || ending === undefined) continue
    for (let shard = 1; shard <= Number(count); shard++) {
      const file = `${stem}-${String(shard).padStart(5, '0')}-of-${count}${ending}`
      if (!listed.has(file)) throw MqError.of('REPO_INCOMPLETE', { repo, url: endpoint, file })
    }
  }
}

/**
 * Checks that what a safetensors index names is there.
 * @param readIndex the text of an index that was fetched.
 * @throws MqError REPO_INCOMPLETE, HUB_ANSWER_INVALID.
 */
export async function checkIndexedShards(
  { endpoint }: HubClient,
  repo: string,
  chosen: readonly string[],
  readIndex: (path: string) => Promise<string>,
): Promise<void> {
  for (const path of chosen.filter((candidate) => candidate.endsWith('.safetensors.index.json'))) {
    const folder = path.slice(0, path.lastIndexOf('/') + 1)
    for (const name of indexedFiles(await readIndex(path))) {
      if (!chosen.includes(folder + name))
        throw MqError.of('REPO_INCOMPLETE', { repo, url: endpoint, file: (folder + name).slice(0, 200) })
    }
  }
}

/** Of an index that is none, nothing: what reads the model says so. */
function indexedFiles(text: string): string[] {
  try {
    const { weight_map: map } = JSON.parse(text) as { weight_map?: Record<string, unknown> }
    return [...new Set(Object.values(map ?? {}).filter((name) => typeof name === 'string'))]
  } catch {
    return []
  }
}
