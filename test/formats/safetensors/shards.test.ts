import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { bufferSource, fileSource } from '../../../formats/byte-source.js'
import { checkShards, readSafetensorsHeader, readShardIndex, type SafetensorsHeader } from '../../../formats/safetensors/index.js'

const folder = 'samples/deepseek-kjv-moe'
const read = (index: unknown) =>
  readShardIndex(bufferSource(Buffer.from(typeof index === 'string' ? index : JSON.stringify(index)), 'index.json'))

test('the index of a sample is read, and fits its shards', async () => {
  const source = await fileSource(`${folder}/model.safetensors.index.json`)
  const index = await readShardIndex(source)
  await source.close()
  const json = JSON.parse(await readFile(`${folder}/model.safetensors.index.json`, 'utf8')) as { weight_map: object }
  expect(Object.fromEntries(index.weightMap)).toEqual(json.weight_map)
  expect(index.files).toEqual(['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'])
  const headers = new Map<string, SafetensorsHeader>()
  for (const file of index.files) {
    const shard = await fileSource(`${folder}/${file}`)
    headers.set(file, await readSafetensorsHeader(shard))
    await shard.close()
  }
  checkShards(index, headers)
  // what it has passed is whole: with a tensor of one shard gone it is refused by name
  const [[file, header] = expect.fail('no shards')] = headers
  const [lost = ''] = header.tensors.keys()
  const less = new Map([
    ...headers,
    [file, { ...header, tensors: new Map([...header.tensors].filter(([name]) => name !== lost)) }],
  ])
  expect(() => checkShards(index, less)).toThrow(lost)
})

describe('a bad index is refused', () => {
  test.each([
    ['no JSON', 'it is not JSON: it ends in line 1 where a name in quotes or } is expected', '{'],
    ['no map', 'it has no weight_map object', {}],
    ['a list for a map', 'it has no weight_map object', { weight_map: ['a'] }],
    ['an empty map', 'its weight_map is empty', { weight_map: {} }],
    ['a tensor twice', 'the name "a" appears in it twice', '{"weight_map":{"a":"x","a":"y"}}'],
    [
      'a file that is a number',
      'it places the tensor "a" in 1, which is not the plain name of a .safetensors file',
      { weight_map: { a: 1 } },
    ],
  ])('%s', async (_, problem, index) => {
    await expect(read(index)).rejects.toMatchObject({
      code: 'SAFETENSORS_INDEX_INVALID',
      details: { file: 'index.json', problem },
    })
  })

  test.each(['../secret', '/etc/passwd', 'a/b', 'a\\b', 'C:x', 'a\0', 'a\n', 'x'.repeat(256)])(
    'a shard outside the folder: %j',
    async (name) => {
      await expect(read({ weight_map: { a: `${name}.safetensors` } })).rejects.toMatchObject({
        code: 'SAFETENSORS_INDEX_INVALID',
      })
    },
  )

  test.each(['..', '.', '', 'pytorch_model.bin', 'model.safetensors.index.json'])('a file that is no shard: %j', async (file) => {
    await expect(read({ weight_map: { a: file } })).rejects.toMatchObject({ code: 'SAFETENSORS_INDEX_INVALID' })
  })

  test('one too large, before it is read', async () => {
    const vast = { ...bufferSource(new Uint8Array()), name: 'vast', byteLength: 2 ** 40 }
    await expect(readShardIndex(vast)).rejects.toMatchObject({ code: 'SAFETENSORS_INDEX_INVALID' })
  })
})

describe('shards that do not fit are refused', () => {
  const header = (...names: string[]): SafetensorsHeader => ({
    tensors: new Map(names.map((name) => [name, { dtype: 'U8', shape: [0], start: 0, end: 0 }])),
    metadata: new Map(),
  })

  test.each<[what: string, problem: string, headers: Record<string, SafetensorsHeader>]>([
    ['a missing shard', 'the shard y.safetensors is missing', { 'x.safetensors': header('a') }],
    ['a missing tensor', 'the tensor "b" is not in y.safetensors', { 'x.safetensors': header('a'), 'y.safetensors': header() }],
    [
      'a tensor too many',
      'x.safetensors holds the tensor "c", which the index does not name',
      { 'x.safetensors': header('a', 'c'), 'y.safetensors': header('b') },
    ],
    [
      'a tensor in two shards',
      'the tensor "b" is both in y.safetensors and in x.safetensors',
      { 'x.safetensors': header('a', 'b'), 'y.safetensors': header('b') },
    ],
    [
      'a shard too many',
      'z.safetensors holds the tensor "d", which the index does not name',
      { 'x.safetensors': header('a'), 'y.safetensors': header('b'), 'z.safetensors': header('d') },
    ],
  ])('%s', async (_, problem, headers) => {
    const index = await read({ weight_map: { a: 'x.safetensors', b: 'y.safetensors' } })
    expect(() => checkShards(index, new Map(Object.entries(headers)))).toThrow(
      expect.objectContaining({ code: 'SAFETENSORS_INDEX_INVALID', details: { file: 'index.json', problem } }),
    )
  })
})
