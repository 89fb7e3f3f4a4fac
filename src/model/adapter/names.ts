import type { Model } from '../architectures/index.js'
import type { Checkpoint } from '../checkpoint/index.js'

/** Maps names of transformers' modules to tensors of a checkpoint. */
export interface TensorNames {
  /** Returns the checkpoint's name of a tensor; undefined if there is none. */
  find(name: string): string | undefined
  /** Returns the tied embedding for the name of an output matrix that the checkpoint does not hold. */
  tied(name: string): string | undefined
  /** Returns the name that the output matrix would have, for an embedding that is tied to it. */
  headOf(name: string): string | undefined
}

/**
 * Names as the checkpoint has them, as the family knows them (a text model inside another, without its prefix), and with or without the
 * `model.` that classes without an output matrix leave out.
 */
export function tensorNames(checkpoint: Checkpoint, model: Model): TensorNames {
  const known = new Map<string, string>()
  for (const name of checkpoint.names) known.set(model.rename(name), name)
  const own = new Set(checkpoint.names)
  const find = (name: string): string | undefined => {
    if (own.has(name)) return name
    const bare = name.replace(/^model\./, '')
    for (const candidate of [name, `model.${name}`, bare]) {
      const found = own.has(candidate) ? candidate : known.get(model.rename(candidate))
      if (found !== undefined) return found
    }
    return undefined
  }
  const embedding = checkpoint.names.find((name) => embeddingNames.test(model.rename(name)))
  const head = checkpoint.names.find((name) => headNames.test(model.rename(name)))
  const expectedHead = [...model.expected.keys()].find((name) => headNames.test(name))
  return {
    find,
    headOf: (name) => (name === embedding && head === undefined ? expectedHead : undefined),
    tied: (name) => (headNames.test(name) && find(name) === undefined ? embedding : undefined),
  }
}

const headNames = /(?:^|\.)(?:lm_head|embed_out|output)\.weight$/
const embeddingNames = /(?:^|\.)(?:embed_tokens|embed_in|wte|word_embeddings|tok_embeddings|tok_embd)\.weight$/

/** Whether a tensor has a row for each token. */
export function isOfVocabulary(name: string): boolean {
  return headNames.test(name) || embeddingNames.test(name)
}
