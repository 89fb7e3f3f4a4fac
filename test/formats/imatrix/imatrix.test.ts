import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bufferSource, fileSource } from '../../../formats/byte-source.js'
import { FormatError } from '../../../formats/format-error.js'
import { type Metadata, writeGguf } from '../../../formats/gguf/index.js'
import { readImportanceMatrix } from '../../../formats/imatrix/index.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-imatrix-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const f32 = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer)

async function ggufForm(sums: number[], columns: number, counts: number[], type = 'imatrix') {
  const path = join(folder, 'imatrix.gguf')
  const metadata: Metadata = new Map([
    ['general.type', { type: 'string', value: type }],
    ['imatrix.datasets', { type: 'array', elementType: 'string', value: ['wiki.txt'] }],
  ])
  await writeGguf(path, metadata, [
    { name: 'blk.0.ffn_up.weight.in_sum2', dimensions: [columns, sums.length / columns], type: 'F32', data: f32(...sums) },
    { name: 'blk.0.ffn_up.weight.counts', dimensions: [1, counts.length], type: 'F32', data: f32(...counts) },
  ])
  const source = await fileSource(path)
  try {
    return await readImportanceMatrix(source)
  } finally {
    await source.close()
  }
}

/** One entry in the old form, byte by byte. */
function legacyForm(name: string, calls: number, values: number[]): Uint8Array {
  const i32 = (value: number): Uint8Array => new Uint8Array(Int32Array.of(value).buffer)
  const text = new TextEncoder()
  const dataset = text.encode('wiki.txt')
  return Buffer.concat([
    i32(1),
    i32(name.length),
    text.encode(name),
    i32(calls),
    i32(values.length),
    f32(...values),
    i32(7),
    i32(dataset.length),
    dataset,
  ])
}

describe('the GGUF form', () => {
  test('sums become means', async () => {
    const { entries, datasets } = await ggufForm([2, 4, 9, 12], 2, [2, 3])
    expect(entries.get('blk.0.ffn_up.weight')).toEqual({ meanSquares: Float32Array.of(1, 2, 3, 4), counts: [2, 3] })
    expect(datasets).toEqual(['wiki.txt'])
  })

  test('an expert that saw nothing takes after its siblings', async () => {
    const { entries } = await ggufForm([2, 4, 0, 0, 4, 8], 2, [2, 0, 1])
    expect(entries.get('blk.0.ffn_up.weight')?.meanSquares).toEqual(Float32Array.of(1, 2, 2, 4, 4, 8))
  })

  test('another kind of GGUF, negative sums and odd sizes are refused', async () => {
    await expect(ggufForm([1, 1], 2, [1], 'model')).rejects.toMatchObject({ code: 'IMATRIX_INVALID' })
    await expect(ggufForm([-1, 1], 2, [1])).rejects.toMatchObject({ code: 'IMATRIX_INVALID' })
    await expect(ggufForm([1, 1, 1], 3, [1, 1])).rejects.toMatchObject({ code: 'IMATRIX_INVALID' })
  })
})

describe('the old form', () => {
  test('values are divided by the number of calls', async () => {
    const { entries, datasets } = await readImportanceMatrix(bufferSource(legacyForm('output.weight', 4, [2, 6])))
    expect(entries.get('output.weight')).toEqual({ meanSquares: Float32Array.of(0.5, 1.5), counts: [4] })
    expect(datasets).toEqual(['wiki.txt'])
  })

  test('damaged bytes end in a format error or a result, and in nothing else', async () => {
    const valid = legacyForm('output.weight', 4, [2, 6])
    await fc.assert(
      fc.asyncProperty(fc.nat(valid.length - 1), fc.nat(255), fc.nat(valid.length), async (at, value, length) => {
        const bytes = Uint8Array.from(valid)
        bytes[at] = value
        await readImportanceMatrix(bufferSource(bytes.subarray(0, length))).catch((error: unknown) => {
          expect(error).toBeInstanceOf(FormatError)
        })
      }),
    )
  })
})
