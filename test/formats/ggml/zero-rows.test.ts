import { expect, test } from 'vitest'
import { openCodec } from '../../../formats/ggml/codec.js'
import { ggmlTypes } from '../../../formats/ggml/types.js'

const codec = await openCodec()
const rowLength = 256

/** Rows of zeros first, last, alone and side by side; one row has only -0. */
const kinds = ['zero', 'some', 'some', 'zero', 'zero', 'negative', 'some', 'zero'] as const

function rowOf(kind: (typeof kinds)[number], row: number): Float32Array {
  if (kind !== 'some') return new Float32Array(rowLength).fill(kind === 'zero' ? 0 : -0)
  return Float32Array.from({ length: rowLength }, (_, column) => Math.sin(row * rowLength + column))
}

const types = ggmlTypes.map(({ name }) => name).filter((name) => codec.canQuantize(name))

test.each(types)('%s: rows among rows of zeros have the blocks that each has alone', (type) => {
  const rows = kinds.map(rowOf)
  const together = new Float32Array(rows.length * rowLength)
  for (const [row, values] of rows.entries()) together.set(values, row * rowLength)
  const importance = new Float32Array(rowLength).fill(1)
  const alone = rows.map((values) => {
    // Behind another row, as the kernel encodes one of zeros there, too.
    const pair = new Float32Array(2 * rowLength)
    pair.set(rowOf('some', 0))
    pair.set(values, rowLength)
    const blocks = codec.quantize(type, pair, rowLength, importance)
    return blocks.subarray(blocks.length / 2)
  })
  expect(Buffer.from(codec.quantize(type, together, rowLength, importance))).toEqual(Buffer.concat(alone))
})

test.each(['F32', 'F16', 'BF16'] as const)('%s keeps the sign of rows of -0', (type) => {
  const values = codec.dequantize(type, codec.quantize(type, rowOf('negative', 0), rowLength), rowLength)
  expect([...values].every((value) => Object.is(value, -0))).toBe(true)
})
