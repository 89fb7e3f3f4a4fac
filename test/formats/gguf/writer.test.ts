import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { layoutGguf, writeGguf } from '../../../formats/gguf/index.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-gguf-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const tensor = { name: 'a', dimensions: [3], type: 'F32' } as const

async function* pieces(...sizes: number[]): AsyncGenerator<Uint8Array> {
  for (const size of sizes) yield new Uint8Array(size).fill(size)
}

test('data is written in pieces, and everything is padded', async () => {
  const path = join(folder, 'a.gguf')
  const { header } = await writeGguf(path, new Map(), [
    { ...tensor, data: pieces(5, 0, 7) },
    { ...tensor, name: 'b', data: new Uint8Array(12).fill(1) },
  ])
  const expected = [header, [5, 5, 5, 5, 5, 7, 7, 7, 7, 7, 7, 7], Array(20).fill(0), Array(12).fill(1), Array(20).fill(0)]
  expect([...(await readFile(path))]).toEqual(expected.flatMap((part) => [...part]))
  expect(await readdir(folder)).toEqual(['a.gguf'])
})

test.each([
  ['too little', [5]],
  ['too much', [5, 8]],
])('%s data leaves what was there before', async (_, sizes) => {
  const path = join(folder, 'a.gguf')
  await writeFile(path, 'before')
  await expect(writeGguf(path, new Map(), [{ ...tensor, data: pieces(...sizes) }])).rejects.toThrow(RangeError)
  expect(await readdir(folder)).toEqual(['a.gguf'])
  expect(await readFile(path, 'utf8')).toBe('before')
})

test('while it is written, the file has no final name', async () => {
  const seen: string[][] = []
  async function* data(): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(4)
    seen.push(await readdir(folder))
    yield new Uint8Array(8)
  }
  await writeGguf(join(folder, 'a.gguf'), new Map(), [{ ...tensor, data: data() }])
  expect(seen).toEqual([['a.gguf.partial']])
})

test('a failing source is thrown on, and nothing is left', async () => {
  async function* data(): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(4)
    throw new Error('the disk is gone')
  }
  await expect(writeGguf(join(folder, 'a.gguf'), new Map(), [{ ...tensor, data: data() }])).rejects.toThrow('the disk is gone')
  expect(await readdir(folder)).toEqual([])
})

test('the layout that comes back is the one that was planned', async () => {
  const inputs = [{ ...tensor, data: new Uint8Array(12) }]
  expect(await writeGguf(join(folder, 'a.gguf'), new Map(), inputs, { alignment: 64 })).toEqual(
    layoutGguf(new Map(), [tensor], { alignment: 64 }),
  )
})
