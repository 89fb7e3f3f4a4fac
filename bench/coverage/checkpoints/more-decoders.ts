import type { CheckpointSpec } from './spec.js'
import { byteLevelModel } from './tokenizers/byte-level-models.js'
import { llama2Files, llama3Files, qwenFiles } from './tokenizers/published.js'

const llama2 = { files: llama2Files(), pre: 'default' }
const llama3 = { files: llama3Files, pre: 'llama-bpe' }
const qwen2 = { files: qwenFiles(), pre: 'qwen2' }
const glm = byteLevelModel('glm')
const remote = 'its code lies with the checkpoint'

/** Models that write text and are seldom used today, bare models without a head, and the text models of those that see. */
export const moreDecoderSpecs: readonly CheckpointSpec[] = [
  { name: 'llama-bare', classes: ['LlamaModel'], arch: 'llama', encoder: true, ...llama2 },
  {
    name: 'llama-bidirectional',
    classes: ['LlamaBidirectionalModel'],
    arch: 'llama-embed',
    encoder: true,
    withoutTransformers: remote,
    ...llama3,
  },
  { name: 'iquest-coder', classes: ['IQuestCoderForCausalLM'], arch: 'llama', withoutTransformers: remote, ...llama2 },
  { name: 'llava', classes: ['LlavaForConditionalGeneration'], arch: 'llama', dtype: 'F16', ...llama2 },
  { name: 'qwen2-bare', classes: ['Qwen2Model'], arch: 'qwen2', encoder: true, ...qwen2 },
  { name: 'glm-4-9b-hf', classes: ['GlmForCausalLM'], arch: 'chatglm', ...glm },
  { name: 'glm4v', classes: ['Glm4vForConditionalGeneration'], arch: 'glm4', ...glm },
  { name: 'solar-open', classes: ['SolarOpenForCausalLM'], arch: 'glm4moe', ...byteLevelModel('solarOpen') },
  {
    name: 'youtu',
    classes: ['YoutuForCausalLM', 'YoutuVLForConditionalGeneration'],
    arch: 'deepseek2',
    ...byteLevelModel('youtu'),
  },
  {
    name: 'bitnet',
    classes: ['BitnetForCausalLM', 'BitNetForCausalLM'],
    arch: 'bitnet',
    dtype: 'F16',
    ...llama2,
  },
  { name: 'gpt-bigcode', classes: ['GPTBigCodeForCausalLM'], arch: 'starcoder', dtype: 'F32', ...byteLevelModel('starcoder') },
  { name: 'mpt', classes: ['MPTForCausalLM'], arch: 'mpt', ...byteLevelModel('mpt') },
  {
    name: 'baichuan',
    classes: ['BaichuanForCausalLM', 'BaiChuanForCausalLM'],
    arch: 'baichuan',
    withoutTransformers: remote,
    ...llama2,
  },
  { name: 'xverse', classes: ['XverseForCausalLM'], arch: 'xverse', withoutTransformers: remote, ...llama2 },
]
