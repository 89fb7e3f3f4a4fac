import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { bufferSource } from '../../../formats/byte-source.js'
import { dtypeBits, readSafetensorsHeader, type SafetensorsDtype, writeSafetensors } from '../../../formats/safetensors/index.js'
import { safetensorsBytes } from '../../support/safetensors-bytes.js'

let folder: string
let path: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-safetensors-'))
  path = join(folder, 'model.safetensors')
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const tensor = { dtype: 'U8', shape: [2], data: Uint8Array.of(1, 2) } as const

test('the bytes are those of the specification: widest elements first, then by name, the header padded to 8', async () => {
  await writeSafetensors(
    path,
    [
      { ...tensor, name: 'b' },
      { ...tensor, name: 'a' },
      { name: 'c', dtype: 'F32', shape: [], data: new Uint8Array(4) },
    ],
    new Map([['format', 'pt']]),
  )
  const json =
    '{"__metadata__":{"format":"pt"},"c":{"dtype":"F32","shape":[],"data_offsets":[0,4]},' +
    '"a":{"dtype":"U8","shape":[2],"data_offsets":[4,6]},"b":{"dtype":"U8","shape":[2],"data_offsets":[6,8]}}'
  const expected = safetensorsBytes(json.padEnd(Math.ceil(json.length / 8) * 8), 8)
  expected.set([0, 0, 0, 0, 1, 2, 1, 2], expected.byteLength - 8)
  expect(Buffer.from(expected)).toEqual(await readFile(path))
})

const anyTensor = fc
  .record({
    name: fc.string({ unit: 'binary', maxLength: 8 }).filter((name) => name !== '__metadata__'),
    dtype: fc.constantFrom(...(Object.keys(dtypeBits) as SafetensorsDtype[])),
    shape: fc.array(fc.nat(3), { maxLength: 3 }).map((shape) => [...shape, 4]),
    seed: fc.nat(255),
  })
  .map(({ seed, ...rest }) => {
    const bytes = (rest.shape.reduce((product, dimension) => product * dimension, 1) * dtypeBits[rest.dtype]) / 8
    return { ...rest, data: new Uint8Array(bytes).fill(seed) }
  })

test('what is written is read back, whatever it is', async () => {
  const tensors = fc.uniqueArray(anyTensor, { maxLength: 6, selector: ({ name }) => name })
  const metadata = fc.array(fc.tuple(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' })), { maxLength: 4 })
  await fc.assert(
    fc.asyncProperty(tensors, metadata, async (tensors, entries) => {
      await writeSafetensors(path, tensors, new Map(entries))
      const bytes = await readFile(path)
      const read = await readSafetensorsHeader(bufferSource(bytes))
      expect(read.metadata).toEqual(new Map(entries))
      expect(read.tensors.size).toBe(tensors.length)
      for (const { name, dtype, shape, data } of tensors) {
        const found = read.tensors.get(name)
        expect(found).toMatchObject({ dtype, shape })
        expect(Buffer.compare(bytes.subarray(found?.start, found?.end), data)).toBe(0)
      }
    }),
    { numRuns: 100 },
  )
})

async function* pieces(...sizes: number[]): AsyncGenerator<Uint8Array> {
  for (const size of sizes) yield new Uint8Array(size)
}

test.each([
  ['too little data', [{ ...tensor, name: 'a', data: pieces(1) }]],
  ['too much data', [{ ...tensor, name: 'a', data: pieces(1, 2) }]],
  [
    'a name twice',
    [
      { ...tensor, name: 'a' },
      { ...tensor, name: 'a' },
    ],
  ],
  ['the name of the metadata', [{ ...tensor, name: '__metadata__' }]],
  ['a negative dimension', [{ ...tensor, name: 'a', shape: [-2, -1] }]],
  ['half a byte', [{ ...tensor, name: 'a', dtype: 'F4' as const, shape: [1] }]],
])('%s is refused, and nothing is left', async (_, tensors) => {
  await expect(writeSafetensors(path, tensors)).rejects.toThrow(RangeError)
  expect(await readdir(folder)).toEqual([])
})
