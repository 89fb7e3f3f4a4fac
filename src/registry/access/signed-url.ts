import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { link, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Store, temporaryPath } from '../store/index.js'

const lifetimeSeconds = 6 * 3600

/** Makes and checks signed URLs: each is valid for one method and path until it expires, for clients that send no credentials. */
export interface UrlSigner {
  /** Signs a URL. @param path with its query. @returns the path with `expires` and `signature` added. */
  sign(method: string, path: string): string
  /** Returns whether a request's path and query were signed for its method and have not expired. */
  isValid(method: string, pathAndQuery: string): boolean
}

/** Opens the signer of a registry. Its key is kept beside the blobs, so that signed URLs stay valid after a restart. */
export async function urlSigner(store: Store, now: () => number = Date.now): Promise<UrlSigner> {
  const key = await signingKey(store)
  const signatureOf = (method: string, text: string): string =>
    createHmac('sha256', key).update(`${method}\n${text}`).digest('hex')
  return {
    sign(method, path) {
      const text = `${path}${path.includes('?') ? '&' : '?'}expires=${Math.floor(now() / 1000) + lifetimeSeconds}`
      return `${text}&signature=${signatureOf(method, text)}`
    },
    isValid(method, pathAndQuery) {
      const [, text = '', expires = '', signature = ''] =
        /^(.*[?&]expires=(\d{1,12}))&signature=([0-9a-f]{64})$/.exec(pathAndQuery) ?? []
      if (text === '' || Number(expires) * 1000 < now()) return false
      return timingSafeEqual(Buffer.from(signatureOf(method, text)), Buffer.from(signature))
    },
  }
}

async function signingKey(store: Store): Promise<Buffer> {
  const path = join(store.directory, 'signing-key')
  const present = await readFile(path).catch(() => undefined)
  if (present?.byteLength === 32) return present
  const temporary = await temporaryPath(store)
  await writeFile(temporary, randomBytes(32), { flag: 'wx', mode: 0o600 })
  try {
    // Of several servers that start together the first writes the key, and the others read it.
    await link(temporary, path).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') await writeFile(path, await readFile(temporary), { flag: 'wx', mode: 0o600 })
    })
  } finally {
    await rm(temporary, { force: true })
  }
  return readFile(path)
}
