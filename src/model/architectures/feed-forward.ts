import { type Recipe, slice } from '../../recipe/index.js'
import { names } from './base.js'
import { countOrNone, type Fields, type ModelConfig } from './config.js'
import { linear, split, stackedExperts, type TensorMapping, tensor } from './tensor-mappings.js'
import type { FieldRule } from './types.js'

interface GatedOptions {
  /** Whether the matrices have biases; none by default. `optional` only where llama.cpp reads them. */
  readonly bias?: boolean | 'optional'
  /** What the output's names end in: `_shexp` for a shared expert. */
  readonly suffix?: string
  /** The checkpoint's names of gate, up and down. */
  readonly names?: readonly [gate: string, up: string, down: string]
}

/** Gate, up and down (SwiGLU and its kin), a matrix each. */
export function gatedFeedForward(from: string, hidden: number, width: number, options: GatedOptions = {}): TensorMapping[] {
  const { bias = false, suffix = '', names: [gate, up, down] = ['gate_proj', 'up_proj', 'down_proj'] } = options
  return [
    ...linear(`${from}.${gate}`, `ffn_gate${suffix}`, [width, hidden], { bias }),
    ...linear(`${from}.${up}`, `ffn_up${suffix}`, [width, hidden], { bias }),
    ...linear(`${from}.${down}`, `ffn_down${suffix}`, [hidden, width], { bias }),
  ]
}

interface ExpertOptions {
  /** The checkpoint's names of gate, up and down. */
  readonly names?: readonly [gate: string, up: string, down: string]
  /** The order in which llama.cpp's converter writes the stacks. */
  readonly order?: readonly ('gate' | 'up' | 'down')[]
  /** Whether the checkpoint keeps the experts of a layer in two tensors, as transformers 5 writes them. */
  readonly fused?: boolean
}

/** Routed experts of one layer, a matrix for each expert or all in one tensor. */
export function routedExperts(
  from: string,
  experts: number,
  hidden: number,
  width: number,
  options: ExpertOptions = {},
): TensorMapping[] {
  const {
    names: [gate, up, down] = ['gate_proj', 'up_proj', 'down_proj'],
    order = ['down', 'gate', 'up'],
    fused = false,
  } = options
  if (fused) {
    return [
      split(`${from}.gate_up_proj`, [experts, 2 * width, hidden], (both: Recipe) => [
        { name: 'ffn_gate_exps.weight', recipe: slice(both, 1, 0, width) },
        { name: 'ffn_up_exps.weight', recipe: slice(both, 1, width, 2 * width) },
      ]),
      tensor(`${from}.down_proj`, 'ffn_down_exps.weight', [experts, hidden, width]),
    ]
  }
  const kinds = {
    gate: { from: gate, to: 'ffn_gate_exps.weight', shape: [width, hidden] },
    up: { from: up, to: 'ffn_up_exps.weight', shape: [width, hidden] },
    down: { from: down, to: 'ffn_down_exps.weight', shape: [hidden, width] },
  }
  return stackedExperts(
    experts,
    order.map((kind) => ({ ...kinds[kind], from: (expert) => `${from}.${expert}.${kinds[kind].from}.weight` })),
  )
}

/**
 * Routed experts of a layer, bounded: there is an entry for each, so not for experts that cannot be there.
 * @param layers that have experts.
 * @throws MqError CONFIG_INVALID.
 */
export function boundedExperts(config: ModelConfig, layers: number, field?: string): number {
  const fields: readonly string[] = field === undefined ? names.experts : [field]
  const experts = config.find(countOrNone, ...fields) ?? 0
  const name = fields.find((name) => config.fields[name] !== undefined) ?? fields[0]
  const fused = config.checkpoint.names.some(
    (tensor) => /experts\.(?:gate_)?up_proj$/.test(tensor) || tensor.includes('experts.gate_up_proj_'),
  )
  if (!fused && Math.max(0, layers) * experts > config.checkpoint.names.length) {
    throw config.invalid(`${name} is ${experts}, more than the checkpoint has tensors for`)
  }
  return experts
}

/** The rule of a list with an entry for each layer: dense ones first (first_k_dense_replace), then those with experts. */
export function sparseAfterDense(isSparse: (kind: unknown) => boolean): FieldRule {
  return (value, { fields }) =>
    Array.isArray(value) && value.every((kind, layer) => isSparse(kind) === layer >= Number(fields['first_k_dense_replace'] ?? 0))
}

/** How many layers stand before the first with experts, by transformers 5's list of kinds; none where there is no such list. */
export function leadingDense({ mlp_layer_types: kinds }: Fields): { readonly first_k_dense_replace?: number } {
  if (!Array.isArray(kinds)) return {}
  const first = kinds.indexOf('sparse')
  return { first_k_dense_replace: first < 0 ? kinds.length : first }
}
