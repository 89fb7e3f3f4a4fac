import { openGguf } from '../../formats/gguf/index.js'
import { rangesOf } from '../collections/index.js'
import type { ChunkRange } from '../runner/index.js'

/** Tokens that llama.cpp decodes at a time while statistics are collected: see src/runner/child/imatrix.ts. */
const batchTokens = 512
/** Every eighth batch is held out of the covariances: groups of a multiple of so many leave the same ones out as a text in one piece. */
const leastBatches = 8
/**
 * Batches of a group, by the weights of a model: minutes of work for a machine that can run it, and not so few that loading the model
 * counts for much.
 */
const sizes = [
  { weights: 2e9, batches: 128 },
  { weights: 32e9, batches: 32 },
] as const
const largestModels = 16

/** Batches of a group of chunks for a model. @throws FormatError of its header. */
export async function groupBatchesOf(model: string): Promise<number> {
  const header = await openGguf(model)
  await header.close()
  const weights = header.tensors.reduce((sum, { dimensions }) => sum + dimensions.reduce((product, size) => product * size, 1), 0)
  return sizes.find((size) => weights <= size.weights)?.batches ?? largestModels
}

/**
 * Groups of chunks whose statistics are summed by themselves: sums of groups are then added in their order, so that the last bits do not
 * depend on how many machines took part. A text of one group is summed in one piece.
 * @param count chunks of the text that are used. @param batches of a group, a multiple of 8: see groupBatchesOf.
 */
export function chunkGroups(count: number, contextLength: number, batches: number): ChunkRange[] {
  if (batches % leastBatches !== 0) throw new RangeError(`groups of ${batches} batches`)
  return rangesOf(count, batches * Math.max(1, Math.floor(batchTokens / contextLength)))
}
