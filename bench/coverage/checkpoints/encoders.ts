import type { CheckpointSpec, ValueRule } from './spec.js'
import { byteLevelModel } from './tokenizers/byte-level-models.js'
import { gemmaFiles, poolingFiles } from './tokenizers/published.js'
import { t5Files, xlmRobertaFiles } from './tokenizers/unigram.js'
import { wordPieceFiles } from './tokenizers/word-piece.js'

const wordPiece = { dtype: 'F32', encoder: true, files: wordPieceFiles(), pre: 'jina-v2-en' } as const
const bge = { ...wordPiece, files: { ...wordPieceFiles(), ...poolingFiles('cls_token') } }
const unigram = { dtype: 'F32', encoder: true, files: xlmRobertaFiles(), pre: 'default' } as const
const mean = { files: { ...xlmRobertaFiles(), ...poolingFiles('mean_tokens') } }
// With it, llama.cpp's converter writes <mask> into row 250001.
const { 'sentencepiece.bpe.model': _, ...withoutSentencePiece } = mean.files
const t5 = { dtype: 'F32', encoder: true, files: t5Files(), pre: 'default' } as const
const roberta = { dtype: 'F32', encoder: true, ...byteLevelModel('roberta') } as const
const modernBert = { dtype: 'F32', encoder: true, ...byteLevelModel('modernBert') } as const
const euroBert = { encoder: true, ...byteLevelModel('euroBert') } as const
const normsAroundZero: readonly ValueRule[] = [[/norm\.weight$/, 0, 0.1]]
const remote = 'its code lies with the checkpoint'

/** Models that embed, rank or classify texts, and encoders with a decoder behind them. */
export const encoderSpecs: readonly CheckpointSpec[] = [
  { name: 'bert', classes: ['BertModel'], arch: 'bert', ...bge },
  { name: 'bert-mlm', classes: ['BertForMaskedLM'], arch: 'bert', ...wordPiece },
  { name: 'bert-cross-encoder', classes: ['BertForSequenceClassification'], arch: 'bert', ...wordPiece },
  { name: 'bert-classifier', classes: ['BertForSequenceClassification'], arch: 'bert', ...wordPiece },
  { name: 'distilbert', classes: ['DistilBertModel'], arch: 'bert', ...wordPiece },
  { name: 'distilbert-mlm', classes: ['DistilBertForMaskedLM'], arch: 'bert', ...wordPiece },
  { name: 'distilbert-classifier', classes: ['DistilBertForSequenceClassification'], arch: 'bert', ...wordPiece },
  { name: 'roberta', classes: ['RobertaModel'], arch: 'bert', ...roberta },
  { name: 'roberta-classifier', classes: ['RobertaForSequenceClassification'], arch: 'bert', ...roberta },
  { name: 'xlm-roberta', classes: ['XLMRobertaModel'], arch: 'bert', ...unigram, ...mean },
  { name: 'xlm-roberta-reranker', classes: ['XLMRobertaForSequenceClassification'], arch: 'bert', ...unigram },
  { name: 'camembert', classes: ['CamembertModel'], arch: 'bert', ...unigram, ...mean },
  {
    name: 'jina-embeddings-v3',
    classes: ['XLMRobertaModel'],
    arch: 'jina-bert-v3',
    withoutTransformers: remote,
    ...unigram,
    ...mean,
    dtype: 'BF16',
  },
  {
    name: 'nomic-bert',
    classes: ['NomicBertModel'],
    arch: 'nomic-bert',
    withoutTransformers: remote,
    plainConfig: 'it knows other names of the fields, and fills in those of the largest model',
    ...bge,
  },
  {
    name: 'nomic-bert-moe',
    classes: ['NomicBertModel'],
    arch: 'nomic-bert-moe',
    withoutTransformers: remote,
    plainConfig: 'it knows other names of the fields, and fills in those of the largest model',
    ...unigram,
    files: withoutSentencePiece,
  },
  { name: 'modern-bert', classes: ['ModernBertModel'], arch: 'modern-bert', ...modernBert },
  { name: 'modern-bert-mlm', classes: ['ModernBertForMaskedLM'], arch: 'modern-bert', ...modernBert },
  { name: 'modern-bert-reranker', classes: ['ModernBertForSequenceClassification'], arch: 'modern-bert', ...modernBert },
  {
    name: 'jina-bert-v2',
    classes: ['JinaBertForMaskedLM', 'JinaBertModel'],
    arch: 'jina-bert-v2',
    withoutTransformers: remote,
    ...bge,
    dtype: 'F16',
  },
  { name: 'jina-embeddings-v5', classes: ['JinaEmbeddingsV5Model'], arch: 'eurobert', withoutTransformers: remote, ...euroBert },
  { name: 'eurobert', classes: ['EuroBertModel'], arch: 'eurobert', ...euroBert },
  { name: 'neobert', classes: ['NeoBERT', 'NeoBERTLMHead'], arch: 'neo-bert', withoutTransformers: remote, ...wordPiece },
  {
    name: 'neobert-classifier',
    classes: ['NeoBERTForSequenceClassification'],
    arch: 'neo-bert',
    withoutTransformers: remote,
    ...wordPiece,
  },
  { name: 't5', classes: ['T5ForConditionalGeneration', 'T5WithLMHeadModel'], arch: 't5', ...t5 },
  { name: 'flan-t5', classes: ['T5ForConditionalGeneration'], arch: 't5', ...t5 },
  { name: 't5-encoder', classes: ['T5EncoderModel'], arch: 't5encoder', ...t5 },
  { name: 'umt5', classes: ['UMT5ForConditionalGeneration', 'UMT5Model'], arch: 't5', ...t5 },
  { name: 'mt5', classes: ['MT5ForConditionalGeneration'], arch: 't5', ...t5 },
  {
    name: 'embeddinggemma',
    classes: ['Gemma3TextModel'],
    arch: 'gemma-embedding',
    dtype: 'F32',
    encoder: true,
    values: normsAroundZero,
    files: { ...gemmaFiles(), ...poolingFiles('mean_tokens') },
    pre: 'default',
  },
]
