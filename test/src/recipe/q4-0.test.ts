import { describe, expect, it } from 'vitest'
import { openCodec } from '../../../formats/ggml/codec.js'
import {
  add,
  blocksOf,
  combine,
  constant,
  evaluateRows,
  expand,
  type FileRange,
  plain,
  q40,
  readRecipe,
  reshape,
  slice,
  stack,
  unpack,
} from '../../../src/recipe/index.js'

/** Three rows of four blocks: 192 bytes of codes, then 6 scales of BF16, one for each 64 values. */
const scales = [0.0125, -(2 ** -14), 2 ** -17, 3, 0, 1.5].map(
  (value) => new Uint32Array(Float32Array.of(value).buffer)[0] as number,
)
const bytes = Uint8Array.from([
  ...Array.from({ length: 192 }, (_, at) => (at * 37 + (at >> 3)) & 0xff),
  ...scales.flatMap((bits) => [(bits >> 16) & 0xff, bits >>> 24]),
])
const read = ({ start, end }: FileRange): Promise<Uint8Array> => Promise.resolve(bytes.slice(start, end))
const codes = unpack({ file: 0, start: 0, end: 192 }, { bits: 4, along: 1, packed: [3, 64], values: [3, 128] })
const stepped = plain('BF16', { file: 0, start: 192, end: 204 }, [3, 2])
const values = combine('product', add(codes, -8), expand(stepped, 1, 64, [3, 128]))
const parts = { values, codes, scales: stepped, zeros: undefined, index: undefined }
const tensor = q40(parts)

function valueAt(row: number, column: number): number {
  const at = row * 128 + column
  const code = ((bytes[at >> 1] as number) >> (4 * (at & 1))) & 15
  const scale = new Float32Array(Uint32Array.of(((scales[at >> 6] as number) >>> 16) << 16).buffer)[0] as number
  return (code - 8) * scale + 0
}
const expected = Array.from({ length: 3 * 128 }, (_, at) => valueAt(at >> 7, at & 127))

describe('symmetric integers of 4 bits', () => {
  it('have the values of their codes and scales, as a worker gets them', async () => {
    const recipe = readRecipe(JSON.parse(JSON.stringify(tensor)))
    const values = await evaluateRows(recipe, 1, 3, read, await openCodec())
    expect([...values].map((value) => value + 0)).toEqual(expected.slice(128))
  })

  it('are blocks of Q4_0 with the same values', async () => {
    const codec = await openCodec()
    const stored = blocksOf(stack([slice(tensor, 0, 1, 3), slice(tensor, 0, 0, 2)]))
    expect(stored).toMatchObject({ type: 'Q4_0', always: false, bytes: { shape: [2, 2, 72] } })
    const blocks = await evaluateRows(stored?.bytes ?? tensor, 0, 4, read, codec)
    const values = codec.dequantize('Q4_0', Uint8Array.from(blocks), 4 * 128)
    expect([...values].map((value) => value + 0)).toEqual([...expected.slice(128), ...expected.slice(0, 256)])
  })

  it.each([2 ** -18 + 2 ** -25, 2 ** -30, 70_000, Number.NaN])('are none where F16 does not hold a scale: %s', async (scale) => {
    const bits = new Uint32Array(Float32Array.of(scale).buffer)[0] as number
    const changed = bytes.with(192, (bits >> 16) & 0xff).with(193, bits >>> 24)
    const stored = blocksOf(tensor)?.bytes ?? tensor
    const readChanged = ({ start, end }: FileRange): Promise<Uint8Array> => Promise.resolve(changed.slice(start, end))
    const blocks = await evaluateRows(stored, 0, 3, readChanged, await openCodec())
    expect(blocks.findIndex(Number.isNaN)).toBe(0)
    expect(blocks.findLastIndex(Number.isNaN)).toBe(19)
  })

  const zeros = (odd: number): number[] => [8, 8, 8, odd, 8, 8]
  const index = (odd: number): number[] => Array.from({ length: 128 }, (_, at) => (at === 5 ? odd : at >> 6))
  it.each([
    ['zero points of 8 and columns in order', zeros(8), index(0), []],
    ['one zero point of 7', zeros(7), index(0), [2, 3].map((block) => 72 + (block % 4) * 18)],
    ['one column of another group', zeros(8), index(1), Array.from({ length: 12 }, (_, block) => block * 18)],
  ])('are blocks where they have %s', async (_, zero, order, unheld) => {
    const recipe = q40({ ...parts, zeros: reshape(constant(zero), [3, 2]), index: constant(order) })
    const blocks = await evaluateRows(blocksOf(recipe)?.bytes ?? tensor, 0, 3, read, await openCodec())
    expect([...blocks.keys()].filter((at) => at % 18 === 0 && Number.isNaN(blocks[at]))).toEqual(unheld)
  })

  it('need rows of whole groups, groups of whole blocks, and parts of one shape', () => {
    const scales = (groups: number) => reshape(constant(Array.from({ length: 3 * groups }, () => 1)), [3, groups])
    for (const groups of [3, 8]) expect(() => q40({ ...parts, scales: scales(groups) })).toThrow(RangeError)
    expect(() => q40({ ...parts, codes: slice(codes, 0, 0, 2) })).toThrow(RangeError)
    expect(() => q40({ ...parts, zeros: scales(4) })).toThrow(RangeError)
    expect(() => q40({ ...parts, index: constant([0, 1]) })).toThrow(RangeError)
  })
})
