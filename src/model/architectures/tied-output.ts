import type { ModelConfig } from './config.js'
import { isTied } from './embedding-and-output.js'
import type { TensorMapping } from './tensor-mappings.js'
import type { ExpectedTensor, NamedTensor, Quirks } from './types.js'

interface OtherHead {
  readonly notes: readonly string[]
  /** Names in the checkpoint. */
  readonly leftOut: ReadonlySet<string>
}

const nothing: OtherHead = { notes: [], leftOut: new Set() }

/**
 * What becomes of an output matrix in a checkpoint whose config.json says that the embedding serves as one. As transformers 5 does, it is
 * kept where it differs, and the user is told; where it is the same, the file computes the same with or without it, and it is kept or
 * not as llama.cpp's converter does.
 * @throws MqError CONFIG_INVALID where it is one of its own by config.json, and GGUF has no place for it.
 */
export async function noteOtherHead(
  config: ModelConfig,
  { dropsTiedOutput = false, alwaysTied = false }: Quirks,
  expected: readonly (ExpectedTensor & { readonly name: string })[],
  rename: (name: string) => string,
): Promise<OtherHead> {
  const { checkpoint } = config
  if (!isTied(config) && !alwaysTied) return nothing
  const stored = (wanted: RegExp): string | undefined => checkpoint.names.find((name) => wanted.test(rename(name)))
  const head = stored(/^(model\.)?(lm_head|output)\.weight$/)
  const embedding = stored(/(^|\.)(embed_tokens|wte|word_embeddings|tok_embeddings|embeddings)\.weight$/)
  if (head === undefined || embedding === undefined) return nothing
  const differs = !(await checkpoint.looksEqual(head, embedding))
  const hasPlace = !alwaysTied && expected.some(({ name }) => name === rename(head))
  if (!hasPlace) {
    if (differs && !isTied(config)) {
      throw config.unsupported(
        'tie_word_embeddings is false, and the output matrix of this architecture is its embedding in any case',
      )
    }
    const lost = `The checkpoint has an output matrix (${head}) that differs from its embedding, and this architecture has no such tensor in GGUF: it is left out.`
    return { notes: differs ? [lost] : [], leftOut: new Set([head]) }
  }
  const kept = `config.json ties the output matrix to the embedding, but ${head} differs from it: it is kept as an output matrix of its own.`
  if (differs) return { notes: [kept], leftOut: new Set() }
  return { notes: [], leftOut: new Set(dropsTiedOutput ? [head] : []) }
}

/**
 * The mappings of a model whose embedding is tied, with the embedding as output matrix too where llama.cpp needs one.
 * @param has whether the checkpoint holds a tensor, by the name that the family knows it by.
 */
export function withOutput(
  mappings: readonly TensorMapping[],
  config: ModelConfig,
  { needsOutput = false }: Quirks,
  has: (name: string) => boolean,
): readonly TensorMapping[] {
  if (!needsOutput || !isTied(config) || has('lm_head.weight') || has('embed_out.weight')) return mappings
  config.notes.push('llama.cpp needs an output matrix for this architecture: the file holds the embedding twice.')
  const twice = (output: NamedTensor): NamedTensor[] =>
    output.name === 'token_embd.weight' ? [output, { ...output, name: 'output.weight' }] : [output]
  return mappings.map((mapping) =>
    /\.layers\.|\.h\./.test(mapping.name) ? mapping : { ...mapping, toGguf: (recipe) => mapping.toGguf(recipe).flatMap(twice) },
  )
}
