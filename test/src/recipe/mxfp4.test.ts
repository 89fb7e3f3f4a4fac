import { describe, expect, it } from 'vitest'
import { openCodec } from '../../../formats/ggml/codec.js'
import {
  blocksOf,
  evaluateRows,
  type FileRange,
  interleaveHalves,
  mxfp4,
  place,
  slice,
  stack,
  strideRows,
} from '../../../src/recipe/index.js'

/** E2M1 by code, OCP Microscaling Formats 1.0. */
const e2m1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6]

/** Six rows of two blocks: 192 bytes of codes, then 12 scales around 1. */
const bytes = Uint8Array.from({ length: 204 }, (_, at) => (at < 192 ? (at * 37 + (at >> 3)) & 0xff : 121 + (at % 12)))
const read = ({ start, end }: FileRange): Promise<Uint8Array> => Promise.resolve(bytes.slice(start, end))
const tensor = mxfp4({ file: 0, start: 0, end: 192 }, { file: 0, start: 192, end: 204 }, [6, 64])

function valueAt(row: number, column: number): number {
  const at = row * 64 + column
  const code = ((bytes[at >> 1] as number) >> (4 * (at & 1))) & 15
  return (e2m1[code] as number) * 2 ** ((bytes[192 + (at >> 5)] as number) - 127)
}

describe('MXFP4 as gpt-oss keeps it', () => {
  it('has the values of its codes and scales', async () => {
    const values = await evaluateRows(tensor, 1, 5, read, await openCodec())
    expect([...values]).toEqual(Array.from({ length: 4 * 64 }, (_, at) => valueAt(1 + (at >> 6), at & 63)))
  })

  it("gives ggml's blocks, which hold the same values", async () => {
    const codec = await openCodec()
    const moved = stack([strideRows(tensor, 1, 2), slice(strideRows(tensor, 0, 2), 0, 0, 3)])
    const stored = blocksOf(moved)
    expect(stored?.type).toBe('MXFP4')
    expect(stored?.bytes.shape).toEqual([2, 3, 34])
    const blocks = await evaluateRows(stored?.bytes ?? tensor, 0, 6, read, codec)
    const values = codec.dequantize('MXFP4', Uint8Array.from(blocks), 6 * 64)
    // ggml has no -0.
    expect([...values]).toEqual([...(await evaluateRows(moved, 0, 6, read, codec))].map((value) => value + 0))
  })

  it('keeps them where rows and whole blocks stand among zeros', async () => {
    const codec = await openCodec()
    const placed = place(place(tensor, 1, [0, 32, 32, 32, 96, 32], 160), 0, [0, 1, 2, 2, 5, 4], 9)
    const stored = blocksOf(placed)
    expect(stored?.bytes.shape).toEqual([9, 85])
    const blocks = await evaluateRows(stored?.bytes ?? tensor, 0, 9, read, codec)
    const values = codec.dequantize('MXFP4', Uint8Array.from(blocks), 9 * 160)
    expect([...values]).toEqual([...(await evaluateRows(placed, 0, 9, read, codec))].map((value) => value + 0))
    expect(blocksOf(place(tensor, 1, [0, 16, 64], 96))).toBeUndefined()
  })

  it('gives none where more than whole rows change places', () => {
    expect(blocksOf(interleaveHalves(tensor, 1))).toBeUndefined()
  })
})
