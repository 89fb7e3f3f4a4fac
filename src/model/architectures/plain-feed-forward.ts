import type { Recipe } from '../../recipe/index.js'
import { linear, type TensorMapping } from './tensor-mappings.js'

interface PlainOptions {
  /** Whether the matrices have biases; none by default. `optional` only where llama.cpp reads them. */
  readonly bias?: boolean | 'optional'
  /** The checkpoint's names of up and down. */
  readonly names?: readonly [up: string, down: string]
}

/** Up and down with an activation function between (GELU, squared ReLU), a matrix each. */
export function plainFeedForward(from: string, hidden: number, width: number, options: PlainOptions = {}): TensorMapping[] {
  const { bias = false, names: [up, down] = ['up_proj', 'down_proj'] } = options
  return [
    ...linear(`${from}.${up}`, 'ffn_up', [width, hidden], { bias }),
    ...linear(`${from}.${down}`, 'ffn_down', [hidden, width], { bias }),
  ]
}

/** Rows of a matrix whose checkpoint holds it the other way round, as GPT-2's Conv1D does. */
export function turnedLinear(
  from: string,
  to: string,
  [rows, columns]: readonly [number, number],
  transposed: (input: Recipe) => Recipe,
): TensorMapping[] {
  const [weight, bias] = linear(from, to, [rows, columns])
  return [
    {
      ...(weight as TensorMapping),
      shape: [columns, rows],
      toGguf: (recipe) => (weight as TensorMapping).toGguf(transposed(recipe)),
    },
    bias as TensorMapping,
  ]
}
