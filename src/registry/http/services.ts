import { type UrlSigner, urlSigner } from '../access/index.js'
import { createUploads, openStore, type Pin, pinBlobs, prepareStore, type Store, type Uploads } from '../store/index.js'
import { type Catalog, createCatalog } from './catalog.js'

/** How long a blob is kept for a client that has uploaded it and has not pointed to it yet. */
const pinnedForMs = 3_600_000

/** What the faces of the registry share. */
export interface Services {
  readonly store: Store
  readonly catalog: Catalog
  readonly uploads: Uploads
  /** Blobs that are made for a client and stand nowhere on disk, by digest: small, and the same each time. */
  readonly derived: Map<string, Buffer>
  /** Made when it is first needed: a registry on a disk that is read-only is served, too. */
  signer(): Promise<UrlSigner>
  /** A pin for a blob that is uploaded, released when {@link unpin} hears of it or an hour later. */
  pinFor(digest: string): Promise<Pin>
  unpin(digests: readonly string[]): Promise<void>
  close(): Promise<void>
}

/** What all requests share. @param maxBytes of an uploaded file. */
export function createServices(registry: string, { maxBytes }: { readonly maxBytes: number }): Services {
  const store = openStore(registry)
  const pins = new Map<string, { pin: Pin; timer: NodeJS.Timeout }>()
  let signing: Promise<UrlSigner> | undefined
  const uploads = createUploads(store, { maxBytes })
  const release = async (digest: string): Promise<void> => {
    const held = pins.get(digest)
    pins.delete(digest)
    clearTimeout(held?.timer)
    await held?.pin.release()
  }
  return {
    store,
    catalog: createCatalog(store),
    uploads,
    derived: new Map(),
    async signer() {
      await prepareStore(store)
      signing ??= urlSigner(store)
      return signing
    },
    async pinFor(digest) {
      await release(digest)
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
