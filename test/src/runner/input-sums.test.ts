import { expect, test } from 'vitest'
import { distinctRows, inputRows, multipliesRows } from '../../../src/runner/child/input-rows.js'
import { addSquares, type InputSums } from '../../../src/runner/child/input-sums.js'
import { inputSurvey } from '../../../src/runner/child/input-survey.js'
import { ggmlOperation } from '../../../src/runner/child/structs.js'
import type { NativeTensor } from '../../../src/runner/child/tensor.js'

/** A tensor as ggml would have it, its values in `bytes` from the strides on. */
function tensor(
  parts: Partial<NativeTensor> & { readonly bytes?: ArrayBuffer; readonly sources?: readonly NativeTensor[] },
): NativeTensor & { readonly bytes?: ArrayBuffer } {
  const [a, b, c] = parts.dimensions ?? [1, 1, 1, 1]
  return {
    address: 0n,
    operation: 0,
    type: 0,
    dimensions: [1, 1, 1, 1],
    strides: [4, 4 * a, 4 * a * b, 4 * a * b * c],
    name: '',
    buffer: 0n,
    data: 0n,
    source: (index) => parts.sources?.[index] as NativeTensor,
    ...parts,
  }
}

const read = (of: NativeTensor): ArrayBuffer => (of as { readonly bytes?: ArrayBuffer }).bytes ?? new ArrayBuffer(0)
const collector = () => {
  const sums = new Map<string, InputSums>()
  const collect = (node: NativeTensor): void =>
    addSquares(sums, node.source(0).name, inputRows(node, read), node.operation === ggmlOperation.MUL_MAT_ID)
  return { sums, collect }
}
const floats = (...values: number[]): ArrayBuffer => Float32Array.from(values).buffer
const weight = (name: string, matrices = 1) => tensor({ name, dimensions: [2, 8, matrices, 1] })

test('a weight sums the squares of its columns over all rows and calls', () => {
  const collected = collector()
  const inputs = tensor({ dimensions: [2, 3, 1, 1], bytes: floats(1, 2, 3, 4, 5, 6) })
  const node = tensor({ operation: ggmlOperation.MUL_MAT, sources: [weight('blk.0.attn_q.weight'), inputs] })
  collected.collect(node)
  collected.collect(node)
  expect(collected.sums).toEqual(
    new Map([['blk.0.attn_q.weight', { squares: Float64Array.of(70, 112), counts: Float64Array.of(6) }]]),
  )
})

test('a stack of heads has sums for each head and one count', () => {
  const collected = collector()
  // rows of one head lie apart: heads are permuted in front of them
  const inputs = tensor({ dimensions: [2, 2, 2, 1], strides: [4, 16, 8, 32], bytes: floats(1, 2, 3, 4, 5, 6, 7, 8) })
  collected.collect(tensor({ operation: ggmlOperation.MUL_MAT, sources: [weight('blk.0.attn_k_b.weight', 2), inputs] }))
  expect(collected.sums.get('blk.0.attn_k_b.weight')).toEqual({
    squares: Float64Array.of(1 + 25, 4 + 36, 9 + 49, 16 + 64),
    counts: Float64Array.of(2),
  })
})

test('an expert sees the tokens that are routed to it', () => {
  const collected = collector()
  // two tokens, each to two of four experts; the ids have room for four
  const ids = tensor({ dimensions: [2, 2, 1, 1], strides: [4, 16, 32, 32], bytes: Int32Array.of(3, 0, 9, 9, 3, 1, 9, 9).buffer })
  const shared = tensor({ dimensions: [2, 1, 2, 1], bytes: floats(1, 2, 3, 4) })
  const apart = tensor({ dimensions: [2, 2, 2, 1], bytes: floats(1, 2, 3, 4, 5, 6, 7, 8) })
  const routed = (name: string, inputs: NativeTensor) =>
    tensor({ operation: ggmlOperation.MUL_MAT_ID, sources: [weight(name, 4), inputs, ids] })
  collected.collect(routed('blk.1.ffn_up_exps.weight', shared))
  collected.collect(routed('blk.1.ffn_down_exps.weight', apart))
  const counts = Float64Array.of(1, 1, 0, 2)
  expect(collected.sums.get('blk.1.ffn_up_exps.weight')).toEqual({ squares: Float64Array.of(1, 4, 9, 16, 0, 0, 10, 20), counts })
  expect(collected.sums.get('blk.1.ffn_down_exps.weight')).toEqual({
    squares: Float64Array.of(9, 16, 49, 64, 0, 0, 1 + 25, 4 + 36),
    counts,
  })
})

test('looked at are weights of the layers and the output, many tokens at once', () => {
  const inputs = (tokens: number, type = 0) => tensor({ dimensions: [2, tokens, 1, 1], type })
  const product = (name: string, tokens = 16, type = 0) =>
    tensor({ operation: ggmlOperation.MUL_MAT, sources: [weight(name), inputs(tokens, type)] })
  expect(multipliesRows(product('blk.0.attn_q.weight'))).toBe(true)
  expect(multipliesRows(product('CUDA0#blk.0.attn_q.weight#0'))).toBe(true)
  expect(multipliesRows(product('blk.0.attn_q.weight', 15))).toBe(false)
  expect(multipliesRows(product('blk.0.attn_q.weight', 16, 1))).toBe(false)
  expect(multipliesRows(product('cache_k_l0'))).toBe(false)
  expect(multipliesRows(product('output.weight'))).toBe(true)
  expect(multipliesRows(tensor({ operation: ggmlOperation.MUL_MAT - 1 }))).toBe(false)
})

test('weights of one input share its name, reshaped or not, and experts with rows of their own do not', () => {
  const norm = tensor({ address: 8n, dimensions: [32, 16, 1, 1] })
  const reshaped = tensor({ address: 9n, operation: ggmlOperation.RESHAPE, dimensions: [32, 1, 16, 1], sources: [norm] })
  const apart = tensor({ address: 10n, dimensions: [32, 2, 16, 1] })
  const survey = inputSurvey()
  const look = (operation: number, name: string, matrices: number, inputs: NativeTensor): void =>
    survey.look(tensor({ operation, sources: [weight(name, matrices), inputs] }))
  look(ggmlOperation.MUL_MAT, 'blk.1.ffn_gate_inp.weight', 1, norm)
  look(ggmlOperation.MUL_MAT_ID, 'blk.1.ffn_up_exps.weight', 4, reshaped)
  look(ggmlOperation.MUL_MAT_ID, 'blk.1.ffn_down_exps.weight', 4, apart)
  look(ggmlOperation.MUL_MAT, 'blk.1.ffn_up_shexp.weight', 1, norm)
  const [shared, own] = ['blk.1.ffn_gate_inp.weight', 'blk.1.ffn_down_exps.weight'] as const
  expect([...survey.inputOf.values()]).toEqual([shared, shared, own, shared])
  expect(survey.inputs.get(shared)).toEqual({ columns: 32, matrices: 1, routed: false })
  expect(survey.inputs.get(own)).toEqual({ columns: 32, matrices: 4, routed: true })
})

test('rows that all experts are given are summed once', () => {
  const ids = tensor({ dimensions: [2, 2, 1, 1], strides: [4, 8, 16, 16], bytes: Int32Array.of(3, 0, 3, 1).buffer })
  const shared = tensor({ dimensions: [2, 1, 2, 1], bytes: floats(1, 2, 3, 4) })
  const node = tensor({ operation: ggmlOperation.MUL_MAT_ID, sources: [weight('blk.1.ffn_up_exps.weight', 4), shared, ids] })
  expect(distinctRows(node, read)).toMatchObject({ columns: 2, starts: [[0, 2]] })
})
