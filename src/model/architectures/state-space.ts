import { multiply, negativeExp, type Recipe, reshape } from '../../recipe/index.js'
import { linear, norm, type TensorMapping, tensor } from './tensor-mappings.js'
import type { FieldRule } from './types.js'

// State-space layers (Mamba: Gu and Dao 2023, arXiv:2312.00752; Mamba 2: Dao and Gu 2024, arXiv:2405.21060) as ggml lays them out.

/** Fields of how steps were initialised and how the scan is computed. */
export const stepFields: readonly string[] = [
  'time_step_floor',
  'time_step_init_scheme',
  'time_step_max',
  'time_step_min',
  'time_step_scale',
]

/** llama.cpp does not clip steps. */
export const unclippedStep: FieldRule = (value) => Array.isArray(value) && value[0] === 0 && value[1] === Number.POSITIVE_INFINITY

/** Widths of a state-space layer. */
export interface StateSpaceDimensions {
  readonly hidden: number
  /** Width of the inner stream. */
  readonly inner: number
  /** State of each channel. */
  readonly state: number
  /** Tokens that the convolution sees. */
  readonly kernel: number
}

interface StateSpaceOptions {
  readonly convolutionBias?: boolean | 'optional'
  readonly projectionBias?: boolean | 'optional'
}

/** @param stepRank width of the step's low-rank projection. @param norms whether step, B and C have norms of their own (Jamba). */
export function mamba(
  from: string,
  { hidden, inner, state, kernel, stepRank }: StateSpaceDimensions & { readonly stepRank: number },
  { norms = false, convolutionBias = 'optional' }: StateSpaceOptions & { readonly norms?: boolean } = {},
): TensorMapping[] {
  return [
    tensor(`${from}.A_log`, 'ssm_a', [inner, state], { transform: negativeExp }),
    tensor(`${from}.D`, 'ssm_d', [inner]),
    ...convolution(from, inner, kernel, convolutionBias),
    ...linear(`${from}.in_proj`, 'ssm_in', [2 * inner, hidden], { bias: false }),
    ...linear(`${from}.x_proj`, 'ssm_x', [stepRank + 2 * state, inner], { bias: false }),
    ...linear(`${from}.dt_proj`, 'ssm_dt', [inner, stepRank], { bias: true }),
    ...linear(`${from}.out_proj`, 'ssm_out', [hidden, inner], { bias: false }),
    ...(norms
      ? [
          norm(`${from}.dt_layernorm`, 'ssm_dt_norm', stepRank),
          norm(`${from}.b_layernorm`, 'ssm_b_norm', state),
          norm(`${from}.c_layernorm`, 'ssm_c_norm', state),
        ]
      : []),
  ]
}

export interface Mamba2Dimensions extends StateSpaceDimensions {
  readonly heads: number
  /** Groups of heads that share B and C. */
  readonly groups: number
}

interface Mamba2Options extends StateSpaceOptions {
  /** Whether the gated norm has weights. */
  readonly norm?: boolean
  readonly input?: (input: Recipe) => Recipe
  readonly output?: (input: Recipe) => Recipe
}

/** Mamba 2: one decay for each head, the step's, B's and C's projections within the first one. */
export function mamba2(from: string, dimensions: Mamba2Dimensions, options: Mamba2Options = {}): TensorMapping[] {
  const { hidden, inner, state, kernel, heads, groups } = dimensions
  const { convolutionBias = 'optional', norm: normed = true, input, output } = options
  const column = (values: Recipe): Recipe => reshape(values, [heads, 1])
  const convolved = inner + 2 * groups * state
  return [
    tensor(`${from}.A_log`, 'ssm_a', [heads], { transform: (values) => column(negativeExp(values)) }),
    tensor(`${from}.D`, 'ssm_d', [heads], { transform: column }),
    tensor(`${from}.dt_bias`, 'ssm_dt.bias', [heads]),
    ...convolution(from, convolved, kernel, convolutionBias),
    ...linear(`${from}.in_proj`, 'ssm_in', [inner + convolved + heads, hidden], {
      bias: false,
      ...(input !== undefined && { transform: input }),
    }),
    ...(normed
      ? [norm(`${from}.norm`, 'ssm_norm', inner, { transform: (values) => reshape(values, [groups, inner / groups]) })]
      : []),
    ...linear(`${from}.out_proj`, 'ssm_out', [hidden, inner], {
      bias: false,
      ...(output !== undefined && { transform: output }),
    }),
  ]
}

/** A convolution of each channel over the last tokens. @param convolutionBias whether it has a bias. */
function convolution(from: string, channels: number, kernel: number, bias: boolean | 'optional'): TensorMapping[] {
  return [
    tensor(`${from}.conv1d.weight`, 'ssm_conv1d.weight', [channels, 1, kernel], {
      transform: (values) => reshape(values, [channels, kernel]),
    }),
    ...(bias === false ? [] : [tensor(`${from}.conv1d.bias`, 'ssm_conv1d.bias', [channels], { optional: bias === 'optional' })]),
  ]
}

/** Ranges of rows, each times a factor of its own. */
export const scaled =
  (value: number) =>
  (input: Recipe): Recipe =>
    value === 1 ? input : multiply(input, value)
