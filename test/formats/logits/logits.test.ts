import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bufferSource } from '../../../formats/byte-source.js'
import { FormatError } from '../../../formats/format-error.js'
import {
  createLogitsFile,
  decodeRow,
  encodeRow,
  logitsFileBytes,
  readLogitsHeader,
  readLogitsRows,
  rowUnits,
} from '../../../formats/logits/index.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mq-logits-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** One chunk of 4 tokens of a vocabulary of 3, with its one row, byte by byte. */
function oneRow({ contextLength = 4, vocabulary = 3, chunks = 1, tokens = [0, 1, 2, 1] } = {}): Buffer {
  const bytes = Buffer.alloc(20 + 4 * tokens.length + 16)
  bytes.write('_logits_')
  for (const [index, value] of [contextLength, vocabulary, chunks, ...tokens].entries()) bytes.writeInt32LE(value, 8 + 4 * index)
  const row = 20 + 4 * tokens.length
  bytes.writeFloatLE(0.5, row)
  bytes.writeFloatLE(-8, row + 4)
  for (const [index, code] of [16, 2, 0].entries()) bytes.writeUInt16LE(code, row + 8 + 2 * index)
  return bytes
}

function encoded(logits: number[]): { logProbabilities: number[]; row: Uint16Array } {
  const row = new Uint16Array(rowUnits(logits.length))
  encodeRow(Float32Array.from(logits), row)
  const { scale, minimum, codes } = decodeRow(row, logits.length)
  return { logProbabilities: [...codes].map((code) => scale * code + minimum), row }
}

describe('a row', () => {
  test('holds ln p from the highest to 16 below it in 65535 steps', () => {
    // e^0 + e^-16 of each of the others, of which the last is out of reach
    const { logProbabilities, row } = encoded([3, -13, -40])
    const logSum = Math.log1p(2 * Math.exp(-16))
    expect(logProbabilities[0]).toBeCloseTo(-logSum, 5)
    expect(logProbabilities[1]).toBeCloseTo(-16 - logSum, 5)
    expect(logProbabilities[2]).toBeCloseTo(-16 - logSum, 5)
    expect([...row.subarray(4)]).toEqual([65535, 0, 0, 0])
  })

  test('of equal logits has no scale', () => {
    const { logProbabilities, row } = encoded([7, 7, 7, 7])
    expect([...row.subarray(4)]).toEqual([0, 0, 0, 0])
    expect(logProbabilities).toEqual(Array(4).fill(Math.fround(-Math.log(4))))
  })

  test('keeps ln p to half a step', () => {
    const logit = fc.float({ min: -30, max: 30, noNaN: true })
    fc.assert(
      fc.property(fc.array(logit, { minLength: 1, maxLength: 40 }), (logits) => {
        const max = Math.max(...logits)
        const logSum = Math.log(logits.reduce((sum, value) => sum + Math.exp(value - max), 0))
        const step = Math.min(16, max - Math.min(...logits)) / 65535
        for (const [index, stored] of encoded(logits).logProbabilities.entries()) {
          const exact = Math.max((logits[index] as number) - max, -16) - logSum
          expect(Math.abs(stored - exact)).toBeLessThan(step / 2 + 1e-5)
        }
      }),
    )
  })
})

describe('a file', () => {
  test('is read as llama-perplexity writes it', async () => {
    const source = bufferSource(oneRow())
    const header = await readLogitsHeader(source)
    expect(header).toEqual({ contextLength: 4, vocabulary: 3, chunks: 1, tokens: Int32Array.of(0, 1, 2, 1) })
    const [row] = await readLogitsRows(source, header, 0, 1)
    expect(decodeRow(row as Uint16Array, 3)).toEqual({ scale: 0.5, minimum: -8, codes: Uint16Array.of(16, 2, 0) })
  })

  test('is written so, in any order of rows', async () => {
    const path = join(folder, 'two.logits')
    const header = { contextLength: 4, vocabulary: 3, chunks: 2, tokens: Int32Array.of(0, 1, 2, 1, 2, 2, 2, 2) }
    const file = await createLogitsFile(path, header)
    await file.writeRows(1, Uint16Array.of(1, 2, 3, 4, 5, 6, 7, 0))
    await file.writeRows(0, Uint16Array.of(0, 0x3f00, 0, 0xc100, 16, 2, 0, 0))
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' })
    await file.finish()
    const bytes = await readFile(path)
    expect(bytes).toHaveLength(logitsFileBytes(header))
    const expected = oneRow({ chunks: 2, tokens: [0, 1, 2, 1, 2, 2, 2, 2] })
    expect(bytes.subarray(0, expected.length)).toEqual(expected)
    expect([...new Uint16Array(bytes.buffer.slice(bytes.byteOffset + expected.length))].slice(0, 8)).toEqual([
      1, 2, 3, 4, 5, 6, 7, 0,
    ])
  })

  test('says what is wrong with it', async () => {
    const read = (bytes: Uint8Array) => readLogitsHeader(bufferSource(bytes, 'base.logits'))
    const cases = [
      [Buffer.from('GGUF'.padEnd(40)), 'it does not begin with _logits_'],
      [oneRow({ contextLength: 2 ** 30 }), `its context length is ${2 ** 30}`],
      [oneRow({ vocabulary: -1 }), 'its vocabulary has -1 tokens'],
      [oneRow({ chunks: 0 }), 'it has 0 chunks'],
      [Buffer.concat([oneRow(), Buffer.alloc(3)]), 'it has 3 bytes too many'],
      [oneRow({ tokens: [0, 1, 2, 3] }), 'it names tokens that its vocabulary does not have'],
    ] as const
    for (const [bytes, problem] of cases) {
      await expect(read(bytes)).rejects.toMatchObject({ code: 'LOGITS_INVALID', details: { file: 'base.logits', problem } })
    }
    await expect(read(oneRow().subarray(0, 50))).rejects.toMatchObject({
      code: 'INPUT_TRUNCATED',
      details: { wanted: 52, present: 50 },
    })
  })

  test('damaged anywhere ends in a format error or a result, and in nothing else', async () => {
    const valid = oneRow()
    await fc.assert(
      fc.asyncProperty(fc.nat(valid.length - 1), fc.nat(255), fc.nat(valid.length), async (at, value, length) => {
        const bytes = Uint8Array.from(valid)
        bytes[at] = value
        const source = bufferSource(bytes.subarray(0, length))
        try {
          const header = await readLogitsHeader(source)
          await readLogitsRows(source, header, 0, 1)
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError)
        }
      }),
    )
  })
})
