import type { Recipe } from '../../recipe/index.js'
import type { Dimensions } from './base.js'
import { flag, type ModelConfig } from './config.js'
import { layerNorm, type norm, type TensorMapping, tensor } from './tensor-mappings.js'

export interface EndOptions {
  /** What the checkpoint's names of all but the output matrix begin with. */
  readonly root?: string
  readonly embedding?: string
  readonly norm?: string
  readonly output?: string
  /** Whether the last norm has a bias. */
  readonly normBias?: boolean
  readonly normTransform?: Parameters<typeof norm>[3]
  readonly outputTransform?: (weight: Recipe) => Recipe
}

/** Whether the embedding is the output matrix too. */
export function isTied(config: ModelConfig): boolean {
  return config.find(flag, 'tie_word_embeddings') === true
}

/**
 * The configuration of a model by its class: one whose name ends in `Model` has no output matrix. llama.cpp would then write text with
 * the token embedding in its place, which the user is told.
 */
export function withHead(config: ModelConfig): ModelConfig {
  if (!config.className.endsWith('Model')) return config
  if (!isTied(config)) {
    config.notes.push(
      `${config.className} has no output matrix (lm_head): the GGUF file is for embeddings, and text generated with it is meaningless.`,
    )
  }
  return config.with({ tie_word_embeddings: true })
}

/** A name of a tensor with `model.` before it, which checkpoints of classes without an output matrix leave out. */
export function withRoot(name: string): string {
  return /^(layers|embed_tokens|norm)\./.test(name) ? `model.${name}` : name
}

/** What stands outside the blocks: token embedding, last norm, output matrix. */
export function embeddingAndOutputTensors(
  config: ModelConfig,
  { vocabulary, hidden }: Pick<Dimensions, 'vocabulary' | 'hidden'>,
  options: EndOptions = {},
): TensorMapping[] {
  const {
    root = 'model.',
    embedding = 'embed_tokens',
    norm: last = 'norm',
    output = 'lm_head',
    normBias = false,
    normTransform = {},
    outputTransform = (weight: Recipe): Recipe => weight,
  } = options
  return [
    tensor(`${root}${embedding}.weight`, 'token_embd.weight', [vocabulary, hidden]),
    ...layerNorm(`${root}${last}`, 'output_norm', hidden, { bias: normBias, ...normTransform }),
    tensor(`${output}.weight`, 'output.weight', [vocabulary, hidden], {
      optional: isTied(config),
      transform: outputTransform,
    }),
  ]
}
