import type { CheckpointSpec } from './spec.js'
import { byteLevelModel } from './tokenizers/byte-level-models.js'
import { llama2Files, llama3Files, poolingFiles, qwenFiles } from './tokenizers/published.js'
import { codedRanksFiles } from './tokenizers/token-ranks.js'

const qwen2 = { files: qwenFiles(), pre: 'qwen2' }
const llama2 = { files: llama2Files(), pre: 'default' }
const llama3 = { files: llama3Files, pre: 'llama-bpe' }
const glm = byteLevelModel('glm')
const lfm2 = byteLevelModel('lfm2')
const granite = byteLevelModel('granite4')
const remote = 'its code lies with the checkpoint'
const sounds = 'the part that hears is cut short'
const pictures = 'the part that sees is cut short'
const convolution = [[/conv\.conv\.weight$/, 0, 0.4]] as const

/** Models of 2025 and 2026 that write text, or whose text model lies within another, and embedders made of such. */
export const newerDecoderSpecs: readonly CheckpointSpec[] = [
  {
    name: 'deepseek-v4',
    classes: ['DeepseekV4ForCausalLM'],
    arch: 'deepseek4',
    dtype: 'F16',
    withoutTransformers: 'it knows tensors by other names',
    ...byteLevelModel('deepseek'),
  },
  { name: 'kormo', classes: ['KORMoForCausalLM'], arch: 'qwen2', withoutTransformers: remote, ...qwen2 },
  { name: 'smolvlm2-text', classes: ['VLlama3ForCausalLM'], arch: 'llama', withoutTransformers: pictures, ...llama2 },
  {
    name: 'glm4.5v',
    classes: ['Glm4vMoeForConditionalGeneration'],
    arch: 'glm4moe',
    withoutTransformers: pictures,
    ...glm,
  },
  { name: 'glm-ocr', classes: ['GlmOcrForConditionalGeneration'], arch: 'glm4', withoutTransformers: pictures, ...glm },
  { name: 'qwen3-asr', classes: ['Qwen3ASRForConditionalGeneration'], arch: 'qwen3vl', withoutTransformers: sounds, ...qwen2 },
  {
    name: 'qwen3-omni',
    classes: ['Qwen3OmniMoeForConditionalGeneration'],
    arch: 'qwen3vlmoe',
    withoutTransformers: sounds,
    ...qwen2,
  },
  {
    name: 'lfm2-embedding',
    classes: ['Lfm2BidirectionalModel'],
    arch: 'lfm2',
    encoder: true,
    values: convolution,
    withoutTransformers: remote,
    ...lfm2,
    files: { ...lfm2.files, ...poolingFiles('cls_token') },
  },
  {
    name: 'lfm2-bare',
    checkpoint: 'lfm2-embedding',
    classes: ['Lfm2Model'],
    arch: 'lfm2',
    encoder: true,
    values: convolution,
    ...lfm2,
  },
  {
    name: 'lfm2-encoder',
    classes: ['Lfm2BidirectionalForMaskedLM'],
    arch: 'lfm2',
    encoder: true,
    values: convolution,
    withoutTransformers: remote,
    ...lfm2,
  },
  {
    name: 'grovemoe',
    classes: ['GroveMoeForCausalLM', 'modeling_grove_moe.GroveMoeForCausalLM'],
    arch: 'grovemoe',
    withoutTransformers: remote,
    ...qwen2,
  },
  { name: 'mellum2', classes: ['MellumForCausalLM'], arch: 'mellum', ...qwen2 },
  { name: 'afmoe', classes: ['AfmoeForCausalLM'], arch: 'afmoe', ...llama3 },
  { name: 'plm', classes: ['PLMForCausalLM'], arch: 'plm', withoutTransformers: remote, ...qwen2 },
  { name: 'minicpm3', classes: ['MiniCPM3ForCausalLM'], arch: 'minicpm3', withoutTransformers: remote, ...llama2 },
  {
    name: 'llada-moe',
    classes: ['LLaDAMoEModelLM', 'LLaDAMoEModel'],
    arch: 'llada-moe',
    encoder: true,
    withoutTransformers: remote,
    ...qwen2,
  },
  {
    name: 'sarvam-moe',
    classes: ['SarvamMoEForCausalLM', 'modeling_sarvam_moe.SarvamMoEForCausalLM'],
    arch: 'bailingmoe2',
    ...byteLevelModel('bailing2'),
  },
  { name: 'granite-swa', classes: ['GraniteSWAForCausalLM'], arch: 'granite_swa', ...granite },
  {
    name: 'granite-moe-swa',
    classes: ['GraniteMoeSWAForCausalLM'],
    arch: 'granite_swa',
    ...granite,
  },
  { name: 'step3-vl', classes: ['StepVLForConditionalGeneration'], arch: 'qwen3', withoutTransformers: pictures, ...qwen2 },
  {
    name: 'hunyuan-moe',
    classes: ['HunYuanMoEV1ForCausalLM'],
    arch: 'hunyuan-moe',
    files: codedRanksFiles(qwen2.files, 'hy.tiktoken', { model_max_length: 1048576, tokenizer_class: 'HYTokenizer' }),
    pre: 'hunyuan',
  },
  {
    name: 'qwen',
    classes: ['QWenLMHeadModel'],
    arch: 'qwen',
    withoutTransformers: remote,
    files: codedRanksFiles(qwen2.files, 'qwen.tiktoken', { model_max_length: 8192, tokenizer_class: 'QWenTokenizer' }, 2),
    pre: 'qwen2',
  },
  {
    name: 'hunyuan-ocr',
    classes: ['HunYuanVLForConditionalGeneration'],
    arch: 'hunyuan_vl',
    ...byteLevelModel('hunyuan'),
  },
]
