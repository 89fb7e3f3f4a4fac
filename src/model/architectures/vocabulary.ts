import { type ModelConfig, size } from './config.js'

/**
 * Rows of the embedding, where they may be more than vocab_size says: filled up to a multiple.
 * @param multiple where pad_vocab_size_multiple does not say it.
 * @param embedding the checkpoint's name of the embedding.
 * @throws MqError CONFIG_INVALID.
 */
export function paddedVocabulary(config: ModelConfig, multiple: number, embedding: string): number {
  const vocabulary = config.get(size, 'vocab_size')
  const step = config.find(size, 'pad_vocab_size_multiple') ?? multiple
  const padded = Math.ceil(vocabulary / step) * step
  return config.shapeOf(embedding)?.[0] === padded ? padded : vocabulary
}
