import { ggmlF32, ggmlOperation } from './structs.js'
import type { NativeTensor } from './tensor.js'

/** Sums of squares of one weight's inputs. */
export interface InputSums {
  /** Sum of x^2 for each column, one run of columns after the other for a stack of matrices. */
  readonly squares: Float64Array
  /** Rows that each expert has seen; one number for a weight that every token passes. */
  readonly counts: Float64Array
}

/** Rows of fewer tokens are not looked at: llama-imatrix takes them for single steps of generation. */
const minTokens = 16

/** Collects sums of squares of what weights are multiplied with, as llama.cpp computes its graph. */
export interface InputCollector {
  readonly sums: ReadonlyMap<string, InputSums>
  /** Whether a node of the graph is of interest, before it is computed. */
  wants(node: NativeTensor): boolean
  /** Takes a computed node's inputs. */
  collect(node: NativeTensor): void
}

/**
 * Source: IMatrixCollector::collect_imatrix in tools/imatrix/imatrix.cpp of llama.cpp, which sums in single precision.
 * @param read the bytes of a tensor of 32-bit numbers. @param output whether the output's weight is looked at, too.
 */
export function inputCollector(
  read: (tensor: NativeTensor) => ArrayBuffer,
  { output }: { readonly output: boolean },
): InputCollector {
  const sums = new Map<string, InputSums>()
  const sumsOf = (name: string, values: number, matrices: number): InputSums => {
    const found = sums.get(name) ?? { squares: new Float64Array(values), counts: new Float64Array(matrices) }
    if (found.squares.length !== values || found.counts.length !== matrices) throw new Error(`${name} changes its size`)
    sums.set(name, found)
    return found
  }

  const collectExperts = (weight: NativeTensor, inputs: NativeTensor, ids: NativeTensor): void => {
    const [columns, slots, tokens] = inputs.dimensions
    const [, slotStride, tokenStride] = inputs.strides
    const [used] = ids.dimensions
    const [idStride, idTokenStride] = ids.strides
    const experts = weight.dimensions[2]
    const { squares, counts } = sumsOf(nameOf(weight), columns * experts, experts)
    const values = new Float32Array(read(inputs))
    const routes = new Int32Array(read(ids))
    for (let slot = 0; slot < used; slot += 1) {
      for (let token = 0; token < tokens; token += 1) {
        const expert = routes[(token * idTokenStride + slot * idStride) / 4] as number
        const from = ((slot % slots) * slotStride + token * tokenStride) / 4
        counts[expert] = (counts[expert] as number) + 1
        addSquares(squares, expert * columns, values, from, columns)
      }
    }
  }

  const collectMatrix = (weight: NativeTensor, inputs: NativeTensor): void => {
    const [columns, rows, depth, samples] = inputs.dimensions
    const [, rowStride, depthStride, sampleStride] = inputs.strides
    const [, , weightDepth, weightSamples] = weight.dimensions
    const matrices = weightDepth * weightSamples
    // one count, however many matrices: each has seen every token
    const { squares, counts } = sumsOf(nameOf(weight), columns * matrices, 1)
    const values = new Float32Array(read(inputs))
    for (let sample = 0; sample < samples; sample += 1) {
      for (let at = 0; at < depth; at += 1) {
        const matrix = (sample % weightSamples) * weightDepth + (at % weightDepth)
        for (let row = 0; row < rows; row += 1) {
          const from = (row * rowStride + at * depthStride + sample * sampleStride) / 4
          addSquares(squares, matrix * columns, values, from, columns)
        }
      }
    }
    counts[0] = (counts[0] as number) + (rows * depth * samples) / matrices
  }

  return {
    sums,
    wants(node) {
      if (node.operation === ggmlOperation.MUL_MAT_ID) return true
      if (node.operation !== ggmlOperation.MUL_MAT) return false
      const inputs = node.source(1)
      if (inputs.dimensions[1] < minTokens || inputs.type !== ggmlF32) return false
      const name = nameOf(node.source(0))
      return name.startsWith('blk.') || (output && name === 'output.weight')
    },
    collect(node) {
      if (node.operation === ggmlOperation.MUL_MAT_ID) collectExperts(node.source(0), node.source(1), node.source(2))
      else collectMatrix(node.source(0), node.source(1))
    },
  }
}

function addSquares(sums: Float64Array, to: number, values: Float32Array, from: number, count: number): void {
  for (let index = 0; index < count; index += 1) {
    const value = values[from + index] as number
    sums[to + index] = (sums[to + index] as number) + value * value
  }
}

/** The name of a weight; a copy on another device is called `CUDA0#blk.0.attn_k.weight#0`. */
function nameOf(tensor: NativeTensor): string {
  const { name } = tensor
  return name.split('#')[name.includes('#') ? 1 : 0] ?? name
}
