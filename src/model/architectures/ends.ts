import type { Dimensions } from './base.js'
import { flag, type ModelConfig } from './config.js'
import { norm, type Row, tensor } from './rows.js'

interface EndOptions {
  /** What the checkpoint's names of all but the output matrix begin with. */
  readonly root?: string
  readonly embedding?: string
  readonly norm?: string
  readonly output?: string
  readonly normTransform?: Parameters<typeof norm>[3]
}

/** Whether the embedding is the output matrix too. */
export function isTied(config: ModelConfig): boolean {
  return config.find(flag, 'tie_word_embeddings') === true
}

/** What stands outside the blocks: token embedding, last norm, output matrix. */
export function endRows(
  config: ModelConfig,
  { vocabulary, hidden }: Pick<Dimensions, 'vocabulary' | 'hidden'>,
  options: EndOptions = {},
): Row[] {
  const { root = 'model.', embedding = 'embed_tokens', norm: last = 'norm', output = 'lm_head', normTransform = {} } = options
  return [
    tensor(`${root}${embedding}.weight`, 'token_embd.weight', [vocabulary, hidden]),
    norm(`${root}${last}`, 'output_norm', hidden, normTransform),
    tensor(`${output}.weight`, 'output.weight', [vocabulary, hidden], { optional: isTied(config) }),
  ]
}
