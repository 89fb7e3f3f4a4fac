import { concat, slice } from '../../recipe/index.js'
import type { ModelConfig } from './config.js'
import { isTied } from './embedding-and-output.js'
import { text, uint32 } from './metadata.js'
import { poolingTypes } from './pooling.js'
import { split, type TensorMapping } from './tensor-mappings.js'
import type { Entry } from './types.js'

/** Ids of the two answers that a reranker chooses between. */
export interface Answers {
  readonly yes: number
  readonly no: number
}

const names = /qwen3-(?:vl-)?reranker/i

/** The prompt that Qwen's README gives, as llama.cpp's converter writes it. */
const template = [
  '<|im_start|>system',
  'Judge whether the Document meets the requirements based on the Query and the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>',
  '<|im_start|>user',
  '<Instruct>: Given a web search query, retrieve relevant passages that answer the query',
  '<Query>: {query}',
  '<Document>: {document}<|im_end|>',
  '<|im_start|>assistant',
  '<think>\n\n</think>\n\n',
].join('\n')

/**
 * The two answers of a Qwen3 reranker, a language model whose score is the probability of "yes" against "no"; undefined for any other
 * model. Only its names tell it from one that writes text: those of the folder, of config.json, or the title of README.md.
 * Source: Qwen3Model._is_qwen3_reranker of conversion/qwen.py, llama.cpp v0.7.0.
 * @throws MqError CONFIG_INVALID where an answer is not one token.
 */
export async function rerankerAnswers(config: ModelConfig): Promise<Answers | undefined> {
  const { checkpoint, fields } = config
  const hints = [checkpoint.modelId, checkpoint.path.split(/[\\/]/).at(-1), fields['_name_or_path'], fields['model_type']]
  const named = hints.some((hint) => typeof hint === 'string' && names.test(hint))
  if (!named) {
    const readme = await checkpoint.readBytes('README.md')
    if (readme === undefined || !/# qwen3-(?:vl-)?reranker/i.test(new TextDecoder().decode(readme))) return undefined
  }
  const vocabulary = await readVocabulary(config)
  const idOf = (word: string): number => {
    const id = vocabulary.get(word)
    if (id !== undefined) return id
    throw config.invalid(`its names say that it is a Qwen3 reranker, but tokenizer.json has no token ${JSON.stringify(word)}`)
  }
  return { yes: idOf('yes'), no: idOf('no') }
}

async function readVocabulary({ checkpoint }: ModelConfig): Promise<ReadonlyMap<string, number>> {
  const tokenizer = await checkpoint.readJson('tokenizer.json')
  const model = tokenizer?.['model'] as { readonly vocab?: unknown } | null | undefined
  const vocabulary = typeof model?.vocab === 'object' && model.vocab !== null ? Object.entries(model.vocab) : []
  return new Map(vocabulary.filter((entry): entry is [string, number] => Number.isSafeInteger(entry[1]) && entry[1] >= 0))
}

/** The keys by which llama.cpp ranks texts. */
export const rerankerKeys: readonly Entry[] = [
  ['pooling_type', uint32(poolingTypes.rank)],
  ['classifier.output_labels', { type: 'array', elementType: 'string', value: ['yes', 'no'] }],
  ['tokenizer.chat_template.rerank', text(template)],
  ['tokenizer.chat_templates', { type: 'array', elementType: 'string', value: ['rerank'] }],
]

/**
 * Rows of a language model as those of a reranker: the output matrix becomes a classifier of two rows, those of the answers.
 * @throws MqError CONFIG_INVALID where an answer lies beyond the matrix.
 */
export function rerankerTensors(config: ModelConfig, rows: readonly TensorMapping[], { yes, no }: Answers): TensorMapping[] {
  const tied = isTied(config)
  const source = tied ? 'model.embed_tokens.weight' : 'lm_head.weight'
  return rows.map((mapping) => {
    if (mapping.name !== source) return mapping
    const [size = 0] = mapping.shape
    if (Math.max(yes, no) >= size)
      throw config.invalid(`vocab_size is ${size}, and an answer of the reranker has the id ${Math.max(yes, no)}`)
    return split(source, mapping.shape, (matrix) => {
      const answers = concat([slice(matrix, 0, yes, yes + 1), slice(matrix, 0, no, no + 1)])
      return [{ name: 'cls.output.weight', recipe: answers }, ...(tied ? mapping.toGguf(matrix) : [])]
    })
  })
}
