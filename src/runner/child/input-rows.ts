import { ggmlF32, ggmlOperation } from './structs.js'
import type { NativeTensor } from './tensor.js'

/** Activation rows of a matrix multiplication, and the matrix (expert) that each is for. */
export interface InputRows {
  /** Length of a row. */
  readonly columns: number
  readonly values: Float32Array
  /** For each matrix where its rows begin in `values`, in the order of the tokens. */
  readonly starts: readonly (readonly number[])[]
}

/** Batches of fewer tokens are ignored, as in llama-imatrix, which takes them for single steps of generation. */
export const minTokens = 16

/** Whether a node of the graph multiplies a weight of the layers, or the output's, with rows of a batch. */
export function multipliesRows(node: NativeTensor): boolean {
  if (node.operation === ggmlOperation.MUL_MAT_ID) return true
  if (node.operation !== ggmlOperation.MUL_MAT) return false
  const inputs = node.source(1)
  if (inputs.dimensions[1] < minTokens || inputs.type !== ggmlF32) return false
  const name = weightName(node)
  return name.startsWith('blk.') || isOutput(name)
}

/** Whether a weight gives the logits; a model with one matrix for both ends multiplies with its embedding. */
export function isOutput(name: string): boolean {
  return name === 'output.weight' || name === 'token_embd.weight'
}

/** Matrices of a node's weight that take rows of their own: experts that are given their own rows, and heads. */
export function ownInputs(node: NativeTensor): number {
  const [, , depth, samples] = node.source(0).dimensions
  if (node.operation === ggmlOperation.MUL_MAT_ID) return node.source(1).dimensions[1] === 1 ? 1 : depth
  return depth * samples
}

/**
 * All rows that a node takes; those of experts as often as they are routed.
 * Source: IMatrixCollector::collect_imatrix in tools/imatrix/imatrix.cpp of llama.cpp.
 * @param read the bytes of a tensor of 32-bit numbers.
 */
export function inputRows(node: NativeTensor, read: (tensor: NativeTensor) => ArrayBuffer): InputRows {
  const [weight, inputs] = [node.source(0), node.source(1)]
  return node.operation === ggmlOperation.MUL_MAT_ID
    ? routedRows(weight, inputs, node.source(2), read)
    : matrixRows(weight, inputs, read)
}

/** Rows that a node takes, each once: where all experts are given the same rows they are those of one matrix. */
export function distinctRows(node: NativeTensor, read: (tensor: NativeTensor) => ArrayBuffer): InputRows {
  const rows = inputRows(node, read)
  if (node.operation !== ggmlOperation.MUL_MAT_ID || ownInputs(node) > 1) return rows
  const inputs = node.source(1)
  const [columns, , tokens] = inputs.dimensions
  const starts = Array.from({ length: tokens }, (_, token) => (token * inputs.strides[2]) / 4)
  return { columns, values: rows.values, starts: [starts] }
}

function routedRows(
  weight: NativeTensor,
  inputs: NativeTensor,
  ids: NativeTensor,
  read: (tensor: NativeTensor) => ArrayBuffer,
): InputRows {
  const [columns, slots, tokens] = inputs.dimensions
  const [, slotStride, tokenStride] = inputs.strides
  const [used] = ids.dimensions
  const [idStride, idTokenStride] = ids.strides
  const starts = Array.from({ length: weight.dimensions[2] }, (): number[] => [])
  const routes = new Int32Array(read(ids))
  for (let slot = 0; slot < used; slot += 1) {
    for (let token = 0; token < tokens; token += 1) {
      const expert = routes[(token * idTokenStride + slot * idStride) / 4] as number
      starts[expert]?.push(((slot % slots) * slotStride + token * tokenStride) / 4)
    }
  }
  return { columns, values: new Float32Array(read(inputs)), starts }
}

function matrixRows(weight: NativeTensor, inputs: NativeTensor, read: (tensor: NativeTensor) => ArrayBuffer): InputRows {
  const [columns, rows, depth, samples] = inputs.dimensions
  const [, rowStride, depthStride, sampleStride] = inputs.strides
  const [, , weightDepth, weightSamples] = weight.dimensions
  const starts = Array.from({ length: weightDepth * weightSamples }, (): number[] => [])
  for (let sample = 0; sample < samples; sample += 1) {
    for (let at = 0; at < depth; at += 1) {
      const matrix = (sample % weightSamples) * weightDepth + (at % weightDepth)
      for (let row = 0; row < rows; row += 1) {
        starts[matrix]?.push((row * rowStride + at * depthStride + sample * sampleStride) / 4)
      }
    }
  }
  return { columns, values: new Float32Array(read(inputs)), starts }
}

/** The name of a node's weight; a copy on another device is called `CUDA0#blk.0.attn_k.weight#0`. */
export function weightName(node: NativeTensor): string {
  const { name } = node.source(0)
  return name.split('#')[name.includes('#') ? 1 : 0] ?? name
}
