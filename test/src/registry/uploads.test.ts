import { createHash } from 'node:crypto'
import { readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createUploads, openStore, prepareStore, type Uploads } from '../../../src/registry/store/index.js'
import { temporaryFolder } from '../../support/tiny-model.js'

const digest = `sha256:${createHash('sha256').update('x').digest('hex')}`

/** Files below a folder that this process has open. */
async function openFilesIn(folder: string): Promise<string[]> {
  const descriptors = await readdir('/proc/self/fd')
  const paths = await Promise.all(descriptors.map((name) => readlink(join('/proc/self/fd', name)).catch(() => '')))
  return paths.filter((path) => path.startsWith(folder))
}

const kinds: readonly (readonly [string, (uploads: Uploads) => Promise<unknown>])[] = [
  ['in one piece', (uploads) => uploads.begin('kjv/tiny')],
  ['in parts', (uploads) => uploads.beginParts('kjv/tiny', digest, 2 ** 20, 2 ** 16)],
]

test.runIf(process.platform === 'linux').each(kinds)(
  'an upload %s that begins while the server closes leaves no file open',
  async (_, begin) => {
    await using folder = await temporaryFolder()
    const store = openStore(folder.path)
    await prepareStore(store)
    const uploads = createUploads(store, { maxBytes: 2 ** 30 })
    const [begun] = await Promise.allSettled([begin(uploads), uploads.close()])
    expect(begun).toMatchObject({ status: 'rejected', reason: { code: 'UPLOAD_REFUSED' } })
    expect(await openFilesIn(folder.path)).toEqual([])
  },
)
