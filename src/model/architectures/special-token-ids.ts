import { uint32 } from './metadata.js'
import type { Entry } from './types.js'

const suffix = '_token_id'

/** The id of a token by its text; undefined where the vocabulary does not hold it. */
export function tokenId(entries: readonly Entry[], token: string): number | undefined {
  const tokens = entries.find(([key]) => key === 'tokenizer.ggml.tokens')?.[1]
  if (tokens?.type !== 'array') return undefined
  const index = (tokens.value as readonly unknown[]).indexOf(token)
  return index === -1 ? undefined : index
}

/** Ends of a turn and of a message, which config.json names in a list alone: classes that set ids by name say these themselves. */
const listedEnds = [`tokenizer.ggml.eot${suffix}`, `tokenizer.ggml.eom${suffix}`]

/**
 * Sets ids of special tokens as a class of llama.cpp's converter does: those that are there keep their place, others follow them.
 * @param ids by the name within the key, such as `eot`; undefined leaves what is there.
 */
export function setTokenIds(entries: readonly Entry[], ids: Readonly<Record<string, number | undefined>>): readonly Entry[] {
  const changed = new Map(entries.filter(([key]) => !listedEnds.includes(key)))
  const added: Entry[] = []
  for (const [name, id] of Object.entries(ids)) {
    if (id === undefined) continue
    const key = `tokenizer.ggml.${name}${suffix}`
    if (changed.has(key)) changed.set(key, uint32(id))
    else added.push([key, uint32(id)])
  }
  const all: Entry[] = [...changed]
  const last = all.findLastIndex(([key]) => key.endsWith(suffix))
  // Without any, they stand where they would: behind the vocabulary.
  const place = last === -1 ? all.findLastIndex(([key]) => /\.(merges|token_type)$/.test(key)) + 1 : last + 1
  return all.toSpliced(place, 0, ...added)
}
