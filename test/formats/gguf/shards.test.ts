import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseGgufShardFilename } from '@huggingface/gguf'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  type MetadataValue,
  openGguf,
  parseShardName,
  planShards,
  shardMetadata,
  shardName,
  writeGguf,
} from '../../../formats/gguf/index.js'

describe('names', () => {
  test('are those that llama.cpp and the hub expect', () => {
    expect(shardName('/models/llama-Q4_K_M', 0, 3)).toBe('/models/llama-Q4_K_M-00001-of-00003.gguf')
    expect(parseGgufShardFilename(shardName('llama', 11, 12))).toEqual({
      prefix: 'llama',
      shard: '00012',
      total: '00012',
    })
  })

  test('are read back', () => {
    expect(parseShardName('/a-00001-of-00002/b-00002-of-00003.gguf')).toEqual({ stem: '/a-00001-of-00002/b', index: 1, count: 3 })
  })

  test.each(['a.gguf', 'a-00000-of-00002.gguf', 'a-00003-of-00002.gguf', 'a-1-of-2.gguf', 'a-00001-of-00002.gguf.partial'])(
    '%s is not one',
    (name) => {
      expect(parseShardName(name)).toBeUndefined()
    },
  )
})

test('tensors are dealt in order, padded, a large one alone', () => {
  const sizes = (shards: { sizeBytes: number }[][]): number[][] => shards.map((shard) => shard.map(({ sizeBytes }) => sizeBytes))
  const tensors = [32, 1, 33, 500, 64].map((sizeBytes) => ({ sizeBytes }))
  expect(sizes(planShards(tensors, 128))).toEqual([[32, 1, 33], [500], [64]])
  expect(sizes(planShards(tensors, 127))).toEqual([[32, 1], [33], [500], [64]])
  expect(planShards([], 100)).toEqual([[]])
})

describe('a split model', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mq-gguf-'))
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))

  const metadata = new Map<string, MetadataValue>([['general.architecture', { type: 'string', value: 'llama' }]])
  const path = (index: number): string => join(folder, shardName('m', index, 3))
  const tensor = (name: string) => ({ name, dimensions: [4], type: 'F32' as const, data: Buffer.from(name.repeat(16)) })
  const write = (index: number, names: string[], options: { no?: number; count?: number; total?: number } = {}) =>
    writeGguf(
      path(index),
      shardMetadata(metadata, options.no ?? index, options.count ?? 3, options.total ?? 4),
      names.map(tensor),
    )

  test('is opened whole, from any of its shards', async () => {
    await write(0, ['a', 'b'])
    await write(1, ['c'])
    await write(2, ['d'])
    const model = await openGguf(path(1))
    expect(model.files).toEqual([path(0), path(1), path(2)])
    expect(model.metadata).toEqual(metadata)
    const read = model.tensors.map(async ({ name, file, start, end }) => [
      name,
      file,
      Buffer.from((await model.sources[file]?.slice(start, end)) ?? []).toString(),
    ])
    expect(await Promise.all(read)).toEqual(
      ['a', 'b', 'c', 'd'].map((name, index) => [name, [0, 0, 1, 2][index], name.repeat(16)]),
    )
    await model.close()
  })

  test('without one of its shards is refused by that name', async () => {
    await write(0, ['a', 'b'])
    await write(2, ['d'])
    await expect(openGguf(path(2))).rejects.toMatchObject({
      code: 'GGUF_INVALID',
      details: { file: path(2), problem: 'the shard m-00002-of-00003.gguf is missing' },
    })
  })

  test.each([
    ['another number', { no: 0 }, ['c'], 'its split.no is 0 where 1 is expected'],
    ['another count', { count: 4 }, ['c'], 'its split.count is 4 where 3 is expected'],
    ['another total', { total: 9 }, ['c'], 'its split.tensors.count is 9 where 4 is expected'],
    ['a tensor of another shard', {}, ['a'], 'the tensor "a" is also in another shard'],
  ])('with %s in a shard is refused', async (_, options, names, problem) => {
    await write(0, ['a', 'b'])
    await write(1, names, options)
    await write(2, ['d'])
    await expect(openGguf(path(0))).rejects.toMatchObject({ code: 'GGUF_INVALID', details: { file: path(1), problem } })
  })

  test('under a name that does not say so is refused', async () => {
    const renamed = join(folder, 'renamed.gguf')
    await writeGguf(renamed, shardMetadata(metadata, 0, 3, 4), [tensor('a')])
    await expect(openGguf(renamed)).rejects.toMatchObject({
      details: { problem: 'it is a shard of 3, and its name does not end in -00001-of-00003.gguf' },
    })
  })

  test('of one shard is a file like any other', async () => {
    const single = join(folder, 'single.gguf')
    await writeGguf(single, shardMetadata(metadata, 0, 1, 1), [tensor('a')])
    const model = await openGguf(single)
    expect(model.metadata).toEqual(metadata)
    expect(model.tensors).toHaveLength(1)
    await model.close()
  })

  test("a path that is not there is Node's own error", async () => {
    await expect(openGguf(join(folder, 'none.gguf'))).rejects.toMatchObject({ code: 'ENOENT' })
  })
})
