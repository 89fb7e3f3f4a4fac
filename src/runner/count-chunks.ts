import { loadModel } from './load-model.js'
import type { PerplexityOptions } from './options.js'

/**
 * Counts the chunks of a text that a model would be run over, without loading its weights.
 * @param path of a GGUF file.
 * @throws MqError as loadModel does.
 */
export async function countChunks(
  path: string,
  text: string,
  { contextLength = 512, chunks, signal }: Omit<PerplexityOptions, 'range'> & { readonly signal?: AbortSignal | undefined } = {},
): Promise<number> {
  await using model = await loadModel(path, { vocabularyOnly: true, threads: 1, ...(signal !== undefined && { signal }) })
  const { length } = await model.tokenize(text, { special: true })
  return chunksOfTokens(length, contextLength, chunks)
}

/** Counts the whole chunks of a number of tokens. @param chunks maximum. */
export function chunksOfTokens(tokens: number, contextLength: number, chunks = Number.POSITIVE_INFINITY): number {
  return Math.min(chunks, Math.floor(tokens / contextLength))
}
