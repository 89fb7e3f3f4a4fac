import { type Descriptor, descriptorsIn, type Repository, readBytes, readIndex, type Store } from '../store/index.js'

/** A parsed path under /v2. */
export interface OciRoute {
  readonly kind: 'tags' | 'manifests' | 'uploads' | 'blobs' | 'referrers'
  /** Repository as the client wrote it, such as `kjv/llama`, or `llama` for `library/llama`. */
  readonly name: string
  /** Tag, digest or id of an upload. */
  readonly reference: string
}

/** A reference of a manifest to a blob or another manifest. */
export type Pointer = Pick<Descriptor, 'digest' | 'size' | 'mediaType'>

/** Lists the manifests of a repository and all blobs that they reference. */
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
