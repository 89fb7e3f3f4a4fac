import * as v from 'valibot'
import { readText } from '../../../files/index.js'
import { type ChunkRange, countChunks } from '../../../runner/index.js'
import type { UnitTask } from '../executor.js'

/** What of a text a unit uses. */
export const textFields = { chunks: v.optional(v.number()), contextLength: v.optional(v.number()) }
const schema = v.object(textFields)
/** Which group a part of a unit is. */
export const groupOptions = v.object({ first: v.number(), end: v.number() })

const defaultContext = 512

/**
 * Groups of the chunks that a unit runs its model over.
 * @param cut cuts so many chunks of so many tokens into groups.
 * @throws what readText and countChunks throw.
 */
export async function textGroups(
  { unit, inputs }: UnitTask,
  cut: (count: number, contextLength: number) => ChunkRange[],
): Promise<ChunkRange[]> {
  const { chunks = Number.POSITIVE_INFINITY, contextLength = defaultContext } = v.parse(schema, unit.options)
  const { content } = await readText(inputs['text']?.path ?? '', { chunks, contextLength })
  // A token stands for at least one byte, but for BOS, EOS and a leading space: a short text need not be counted.
  const most = Math.min(chunks, Math.floor((Buffer.byteLength(content) + 8) / contextLength))
  if (cut(most, contextLength).length < 2) return []
  return cut(await countChunks(inputs['model']?.path ?? '', content, { contextLength, chunks }), contextLength)
}
