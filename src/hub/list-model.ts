import type { WithProgress } from '../progress/index.js'
import { byteProgress, waitNotice } from './byte-progress.js'
import type { HubClient } from './client.js'
import { type Listing, listRepository, tagRevision } from './listing.js'
import type { RemoteName } from './repository-name.js'

/** The files among which a name chooses. */
export interface NamedListing {
  readonly listing: Listing
  /** The tag that file names have to match; undefined where all files of the listing are those of the tag. */
  readonly tag?: string
}

/**
 * Lists what a name can mean. A registry has a revision for each tag, and that wins over a file whose name resembles the tag.
 * @throws MqError REPO_MISSING, ACCESS_DENIED, NETWORK, HUB_ANSWER_INVALID.
 */
export async function listModel(client: HubClient, { repo, tag, revision }: RemoteName): Promise<NamedListing> {
  if (tag === undefined || revision !== undefined) {
    return { listing: await listRepository(client, repo, revision ?? 'main'), tag }
  }
  const own = await tagRevision(client, repo, tag)
  if (own !== undefined) return { listing: await listRepository(client, repo, own) }
  return { listing: await listRepository(client, repo, 'main'), tag }
}

/** The same as work that says what it waits for. */
export async function* listWithProgress(client: HubClient, name: RemoteName): WithProgress<NamedListing> {
  return yield* byteProgress('list', 0, client.signal, async ({ notice, signal }) =>
    listModel(client.with({ signal, onWait: waitNotice(notice) }), name),
  )
}
