import type { CheckpointSpec } from './spec.js'
import { byteLevelModel } from './tokenizers/byte-level-models.js'
import { llama2Files, qwenFiles } from './tokenizers/published.js'
import { channelDecays, gatedDelta, normsAroundZero } from './value-rules.js'

const cohere = byteLevelModel('cohere')
const qwen2 = { files: qwenFiles(), pre: 'qwen2' }
const qwen35 = { files: qwenFiles('qwen35'), pre: 'qwen35' }
const llama2 = { files: llama2Files(), pre: 'default' }

const remote = 'its code lies with the checkpoint'

/** Models of 2026 that write text. */
export const latestDecoderSpecs: readonly CheckpointSpec[] = [
  { name: 'hy3', classes: ['HYV3ForCausalLM'], arch: 'hy_v3', ...byteLevelModel('hunyuan') },
  { name: 'north-mini-code', classes: ['Cohere2MoeForCausalLM'], arch: 'cohere2moe', ...cohere },
  { name: 'cohere2moe-shared', classes: ['Cohere2MoeForCausalLM'], arch: 'cohere2moe', ...cohere },
  {
    name: 'step3.5-flash',
    classes: ['Step3p5ForCausalLM'],
    arch: 'step35',
    values: normsAroundZero,
    withoutTransformers: remote,
    ...qwen2,
  },
  {
    name: 'step3.7-flash',
    classes: ['Step3p7ForConditionalGeneration'],
    arch: 'step35',
    values: normsAroundZero,
    ...qwen2,
  },
  { name: 'mimo-v2-flash', classes: ['MiMoV2FlashForCausalLM'], arch: 'mimo2', ...qwen2 },
  { name: 'mimo-v2.5', classes: ['MiMoV2ForCausalLM'], arch: 'mimo2', withoutTransformers: remote, ...qwen2 },
  {
    name: 'kimi-linear',
    classes: ['KimiLinearForCausalLM', 'KimiLinearModel'],
    arch: 'kimi-linear',
    values: channelDecays,
    ...byteLevelModel('kimi'),
  },
  {
    name: 'minimax-m3',
    classes: ['MiniMaxM3SparseForConditionalGeneration'],
    arch: 'minimax-m3',
    values: normsAroundZero,
    plainConfig: 'transformers takes sparse_attention_config apart, and the converter then misses it',
    ...byteLevelModel('miniMax'),
  },
  {
    name: 'minimax-m3-text',
    classes: ['MiniMaxM3SparseForCausalLM'],
    arch: 'minimax-m3',
    values: normsAroundZero,
    plainConfig: 'transformers takes sparse_attention_config apart, and the converter then misses it',
    withoutTransformers: 'it has another name for the class',
    ...byteLevelModel('miniMax'),
  },
  { name: 'nemotron-nas', classes: ['DeciLMForCausalLM'], arch: 'deci', withoutTransformers: remote, ...llama2 },
  { name: 'decilm-7b', classes: ['DeciLMForCausalLM'], arch: 'deci', withoutTransformers: remote, ...llama2 },
  { name: 'qwen3.5-bare', classes: ['Qwen3_5TextModel'], arch: 'qwen35', encoder: true, values: gatedDelta, ...qwen35 },
  {
    name: 'deepseek-ocr',
    classes: ['DeepseekOCRForCausalLM', 'UnlimitedOCRForCausalLM'],
    arch: 'deepseek2-ocr',
    withoutTransformers: remote,
    ...qwen2,
  },
  { name: 'minicpm-v4.6', classes: ['MiniCPMV4_6ForConditionalGeneration'], arch: 'qwen35', values: gatedDelta, ...qwen35 },
  { name: 'minicpm-v4.7', classes: ['MiniCPMV4_7ForConditionalGeneration'], arch: 'qwen35', values: gatedDelta, ...qwen35 },
]
