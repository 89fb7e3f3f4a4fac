import { expect, test } from 'vitest'
import { gaussian } from '../../../bench/random.js'
import { openCodec } from '../../../formats/ggml/codec.js'
import { prepareOutputs } from '../../../formats/ggml/output-error.js'
import { outputError } from '../../support/gptq.js'

const n = 96
const factors = Float64Array.from(gaussian(11 * n, 3))
const diagonal = Float64Array.from(gaussian(n, 4), (x) => x * x)
const full = Float64Array.from({ length: n * n }, (_, at) => {
  const [i, j] = [Math.floor(at / n), at % n]
  let sum = i === j ? (diagonal[i] ?? 0) : 0
  for (let k = 0; k < 11; k++) sum += (factors[k * n + i] ?? 0) * (factors[k * n + j] ?? 0)
  return sum
})

test.each([
  ['whole', { full }, full],
  ['as diagonal and factors', { diagonal, factors }, full],
  ['as a diagonal', { diagonal }, full.map((_, at) => (at % (n + 1) === 0 ? (diagonal[Math.floor(at / n)] ?? 0) : 0))],
])('errors in the outputs are tr(E H E^T), with H %s', async (_, covariance, h) => {
  const codec = await openCodec()
  const form = prepareOutputs(covariance)
  for (const rows of [1, 7, 64, 70]) {
    const errors = gaussian(rows * n, rows)
    const wanted = outputError(errors, new Float32Array(errors.length), h)
    expect(codec.outputError(errors, form) / wanted).toBeCloseTo(1, 5)
  }
})
