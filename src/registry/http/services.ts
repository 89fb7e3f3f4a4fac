import { type UrlSigner, urlSigner } from '../access/index.js'
import type { MergedModel } from '../merged-model.js'
import {
  blobPath,
  createUploads,
  openStore,
  type Pin,
  pinBlobs,
  prepareStore,
  type Store,
  type UploadLimits,
  type Uploads,
} from '../store/index.js'
import { type Catalog, createCatalog } from './catalog.js'
import type { Derived } from './ollama.js'
import { type Segment, wholeFile } from './send-segments.js'

/** How long an uploaded blob is kept that no manifest references yet. */
const pinnedForMs = 3_600_000

/** State that the HTTP APIs of the registry share. */
export interface Services {
  readonly store: Store
  readonly catalog: Catalog
  readonly uploads: Uploads
  /** Whether reading needs a token as well. */
  readonly isPrivate: boolean
  /** Size of a part in bytes: files larger than two parts are uploaded in parts. */
  readonly partBytes: number
  /** Blobs that are made for a client and are not on disk; see derivedKey. */
  readonly derived: Map<string, Derived>
  /** Split models whose merged digest is computed or known, by the digest of their manifest. */
  readonly merging: Map<string, Promise<MergedModel>>
  /** Prefix of paths by which a reverse proxy sends blobs itself. */
  readonly accelPrefix: string | undefined
  /** Opens the URL signer at its first use, so that a registry on a read-only disk can be served. */
  signer(): Promise<UrlSigner>
  /** Pins a blob while it is uploaded, until {@link unpin} is called or for one hour. */
  pinFor(digest: string): Promise<Pin>
  unpin(digests: readonly string[]): Promise<void>
  /** Blobs that were pushed to a repository (`NAMESPACE/NAME`, lower case) before their manifest. */
  readonly pushed: { add(repository: string, digest: string): void; has(repository: string, digest: string): boolean }
  close(): Promise<void>
}

/** Limits and permissions of a server. */
export interface ServiceOptions extends UploadLimits {
  readonly isPrivate?: boolean | undefined
  readonly partBytes?: number | undefined
  readonly accelPrefix?: string | undefined
}

/** Creates the state that all requests share. */
export function createServices(registry: string, options: ServiceOptions): Services {
  const { isPrivate = false, partBytes = 256 << 20 } = options
  const store = openStore(registry)
  const pins = new Map<string, { pin: Pin; timer: NodeJS.Timeout }>()
  const pushed = new Map<string, Set<string>>()
  let signing: Promise<UrlSigner> | undefined
  const uploads = createUploads(store, options)
  const release = async (digest: string): Promise<void> => {
    const held = pins.get(digest)
    pins.delete(digest)
    pushed.delete(digest)
    clearTimeout(held?.timer)
    await held?.pin.release()
  }
  return {
    store,
    catalog: createCatalog(store),
    uploads,
    isPrivate,
    partBytes,
    pushed: {
      add: (repository, digest) => {
        if (pins.has(digest)) pushed.set(digest, (pushed.get(digest) ?? new Set()).add(repository))
      },
      has: (repository, digest) => pushed.get(digest)?.has(repository) === true,
    },
    derived: new Map(),
    merging: new Map(),
    accelPrefix: options.accelPrefix,
    async signer() {
      await prepareStore(store)
      signing ??= urlSigner(store)
      return signing
    },
    async pinFor(digest) {
      const repositories = pushed.get(digest)
      await release(digest)
      if (repositories !== undefined) pushed.set(digest, repositories)
      const pin = await pinBlobs(store)
      const timer = setTimeout(() => void release(digest), pinnedForMs)
      timer.unref()
      pins.set(digest, { pin, timer })
      return pin
    },
    async unpin(digests) {
      for (const digest of digests) await release(digest)
    },
    async close() {
      await uploads.close()
      for (const digest of pins.keys()) await release(digest)
    },
  }
}

/** Makes the argument of sendFile for a blob. */
export function blobToSend(
  { store, accelPrefix }: Services,
  digest: string,
  sizeBytes: number,
): { readonly segments: Segment[]; readonly digest: string; readonly sizeBytes: number; readonly redirect: string | undefined } {
  const path = blobPath(store, digest)
  const redirect = accelPrefix === undefined ? undefined : `${accelPrefix}/${digest.replace(':', '/')}`
  return { segments: [wholeFile(path, digest, sizeBytes)], digest, sizeBytes, redirect }
}
