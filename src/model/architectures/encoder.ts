import * as v from 'valibot'
import { type Recipe, slice } from '../../recipe/index.js'
import { baseKeys, countKey, type Dimensions } from './base.js'
import { type ModelConfig, word } from './config.js'
import { bool, uint32 } from './metadata.js'
import { poolingKeys } from './pooling.js'
import { layerNorm, linear, type TensorMapping, tensor } from './tensor-mappings.js'
import type { Entry } from './types.js'

// What models have in common that read a whole text at once: BERT and its kin.

/** The common keys, that attention looks both ways, how states are pooled, and what a classifier's outputs are called. */
export async function encoderKeys(config: ModelConfig): Promise<Entry[]> {
  return [...baseKeys(config), ['attention.causal', bool(false)], ...(await poolingKeys(config)), ...labelKeys(config)]
}

const labels = v.record(v.string(), word)

/** Whether the class has a head that classifies or ranks. */
export function isClassifier({ className }: ModelConfig): boolean {
  return className.endsWith('ForSequenceClassification')
}

/** Rows of a classifier's last matrix. */
export function labelCount(config: ModelConfig, output: string): number {
  return config.shapeOf(`${output}.weight`)?.[0] ?? 1
}

/** Names of a classifier's outputs; the two that transformers makes up say nothing, unless there are two outputs. */
export function labelKeys(config: ModelConfig): Entry[] {
  const found = config.find(labels, 'id2label')
  if (found === undefined) return []
  const names = Object.entries(found)
    .toSorted(([a], [b]) => Number(a) - Number(b))
    .map(([, name]) => name)
  if (names.length === 2 && names[0] === 'LABEL_0' && !isClassifier(config)) return []
  return [['classifier.output_labels', { type: 'array', elementType: 'string', value: names }]]
}

/** The head of a classifier: a matrix and an activation function, then one output for each label. */
export function classifierTensors(
  config: ModelConfig,
  hidden: number,
  names: { dense: string; output: string },
): TensorMapping[] {
  if (!isClassifier(config)) return []
  return [
    ...linear(names.dense, 'cls', [hidden, hidden]),
    ...linear(names.output, 'cls.output', [labelCount(config, names.output), hidden]),
  ]
}

interface EmbeddingNames {
  readonly root?: string
  readonly tokens?: string
  readonly norm?: string
  /** Rows of the table of positions that stand before the first position; undefined where there is no table. */
  readonly positions?: { readonly count: number; readonly skipped: number }
  readonly types?: number
}

/** Embeddings of tokens, positions and kinds of text, and the norm behind them. */
export function embeddingTensors(
  { vocabulary, hidden }: Pick<Dimensions, 'vocabulary' | 'hidden'>,
  names: EmbeddingNames = {},
): TensorMapping[] {
  const { root = 'embeddings.', tokens = `${root}word_embeddings`, norm = `${root}LayerNorm`, positions, types } = names
  const cut = (input: Recipe): Recipe =>
    positions === undefined || positions.skipped === 0 ? input : slice(input, 0, positions.skipped, positions.count)
  return [
    tensor(`${tokens}.weight`, 'token_embd.weight', [vocabulary, hidden]),
    ...(positions === undefined
      ? []
      : [tensor(`${root}position_embeddings.weight`, 'position_embd.weight', [positions.count, hidden], { transform: cut })]),
    ...(types === undefined || types === 0
      ? []
      : [tensor(`${root}token_type_embeddings.weight`, 'token_types.weight', [types, hidden])]),
    ...layerNorm(norm, 'token_embd_norm', hidden),
  ]
}

/** Puts the number of kinds of text where llama.cpp's converter does: before the rest, after the prefix of Unigram, or behind byte-level BPE. */
export function withTokenTypes(entries: readonly Entry[], types: number): readonly Entry[] {
  const key: Entry = ['tokenizer.ggml.token_type_count', uint32(types)]
  const model = entries.find(([name]) => name === 'tokenizer.ggml.model')?.[1].value
  if (model === 'bert') return [key, ...entries]
  if (model !== 't5') return [...entries, key]
  const place = entries.findIndex(([name]) => name === 'tokenizer.ggml.add_space_prefix') + 1
  return entries.toSpliced(place, 0, key)
}

/** Keys that stand before the others of the tokenizer, with the values that they have there. */
export function withFirst(entries: readonly Entry[], ...keys: readonly string[]): readonly Entry[] {
  const first = keys.flatMap((key) => entries.filter(([name]) => name === `tokenizer.ggml.${key}`))
  return [...first, ...entries.filter((entry) => !first.includes(entry))]
}

/** The number of kinds of text, as config.json says it. */
export function tokenTypes(config: ModelConfig): number {
  const [entry] = countKey(config, '', 'type_vocab_size')
  return Number(entry?.[1].value ?? 1)
}
