import { expect, test } from 'vitest'
import { gaussian } from '../../../bench/random.js'
import { openCodec } from '../../../formats/ggml/codec.js'
import { prepareFeedback } from '../../../formats/ggml/feedback.js'
import { prepareOutputs } from '../../../formats/ggml/output-error.js'

const covariance = (columns: number, rank: number) => ({
  diagonal: Float64Array.from(gaussian(columns, 1), (x) => x * x + 0.1),
  factors: Float64Array.from(gaussian(rank * columns, rank)),
})

test('tables that have a name stay in the kernels’ memory, whatever comes between', async () => {
  const [fresh, used] = [await openCodec(), await openCodec()]
  const cases = [
    { name: 'small', columns: 256, rank: 8, seed: 2 },
    { name: 'wide', columns: 1024, rank: 24, seed: 3 },
    { name: 'small', columns: 256, rank: 8, seed: 2 },
    { name: 'small', columns: 256, rank: 8, seed: 4 },
    { name: 'other', columns: 256, rank: 16, seed: 4 },
    { name: 'wide', columns: 1024, rank: 24, seed: 5 },
  ]
  for (const { name, columns, rank, seed } of cases) {
    const known = covariance(columns, rank)
    const factor = prepareFeedback(known, 0.2, ['16x1', '32x1'])
    const outputs = prepareOutputs(known)
    const rows = gaussian(20 * columns, seed)
    for (const type of ['Q2_K', 'Q4_K', 'Q2_K'] as const) {
      const found = used.quantizeWithFeedback(type, rows, columns, { ...factor, name })
      expect(found).toEqual(fresh.quantizeWithFeedback(type, rows, columns, factor))
      expect(used.outputError(rows, { ...outputs, name })).toBe(fresh.outputError(rows, outputs))
      expect(used.quantize(type, rows, columns)).toEqual(fresh.quantize(type, rows, columns))
      expect(used.firstNonFinite(rows)).toBe(-1)
    }
  }
})
