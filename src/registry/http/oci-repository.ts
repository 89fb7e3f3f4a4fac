import { type Descriptor, descriptorsIn, type Repository, readBytes, readIndex, type Store } from '../store/index.js'

/** What a path under /v2 names. */
export interface OciRoute {
  readonly kind: 'tags' | 'manifests' | 'uploads' | 'blobs' | 'referrers'
  /** As the client wrote it, such as `kjv/llama`, or `llama` for `library/llama`. */
  readonly name: string
  /** Tag, digest or id of an upload. */
  readonly reference: string
}

/** What a manifest says of a blob or another manifest. */
export type Pointer = Pick<Descriptor, 'digest' | 'size' | 'mediaType'>

/** Everything that the manifests of a repository point to, and they themselves. */
export async function blobsOf(store: Store, repository: Repository): Promise<Pointer[]> {
  const { manifests } = await readIndex(store, repository)
  const inner = await Promise.all(
    manifests.map(async (entry) => {
      const bytes = await readBytes(store, entry).catch(() => undefined)
      return bytes === undefined ? [] : descriptorsIn(bytes, entry.digest, store)
    }),
  )
  return [...manifests, ...inner.flat()]
}
