import { createHash } from 'node:crypto'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { checkTarget, readText } from '../../../src/files/index.js'

let root = ''

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mq-text-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

describe('readText', () => {
  test('gives the text as Node does, and the digest of the file', async () => {
    const path = join(root, 'text.txt')
    const bytes = Buffer.concat([Buffer.from('\uFEFFwörter '.repeat(200_000)), Buffer.from([0xe2, 0x82])])
    await writeFile(path, bytes)
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    expect(await readText(path)).toEqual({ content: bytes.toString('utf8'), name: 'text.txt', sha256 })
  })

  test('refuses a file of 3 GiB at once', async () => {
    const path = join(root, 'large.txt')
    await writeFile(path, '')
    await truncate(path, 3 * 2 ** 30)
    await expect(readText(path)).rejects.toMatchObject({
      code: 'TEXT_TOO_LARGE',
      details: { file: path, size: 3 * 2 ** 30, limit: 2 ** 27 },
    })
  })

  test('of what is too large reads as much as the chunks need, in whole characters', async () => {
    const path = join(root, 'beginning.txt')
    const bytes = Buffer.from(`a${'ö'.repeat(2 ** 21)}`)
    await writeFile(path, bytes)
    const { content, sha256 } = await readText(path, { chunks: 2, contextLength: 512 }, 2 ** 21)
    expect(content.length).toBeGreaterThanOrEqual(2 * 512)
    expect(content.length).toBeLessThan(2 ** 21)
    expect(content).toBe(`a${'ö'.repeat(content.length - 1)}`)
    expect(sha256).toBe(createHash('sha256').update(bytes).digest('hex'))
    await expect(readText(path, { chunks: 100, contextLength: 512 }, 2 ** 21)).rejects.toMatchObject({ code: 'TEXT_TOO_LARGE' })
  })

  test('says what is wrong with the path', async () => {
    await expect(readText(root)).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
    await expect(readText(join(root, 'none'))).rejects.toMatchObject({ code: 'FILE_MISSING' })
  })
})

test('an output may be replaced when the model that is read is not on this machine', async () => {
  const path = join(root, 'plan.json')
  await writeFile(path, '{}')
  const remote = ['https://huggingface.co/ns/name/resolve/main/model.safetensors']
  await expect(checkTarget(path, remote, false)).rejects.toMatchObject({ code: 'OUTPUT_EXISTS' })
  await checkTarget(path, remote, true)
  await expect(checkTarget(path, [path], true)).rejects.toMatchObject({ code: 'FILE_UNWRITABLE' })
})
