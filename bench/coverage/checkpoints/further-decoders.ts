import type { CheckpointSpec } from './spec.js'
import { byteLevelModel } from './tokenizers/byte-level-models.js'
import { llama2Files, llama3Files, qwenFiles } from './tokenizers/published.js'
import { gatedDelta } from './value-rules.js'

const qwen2 = { files: qwenFiles(), pre: 'qwen2' }
const qwen35 = { files: qwenFiles('qwen35'), pre: 'qwen35' }
const glm = byteLevelModel('glm')
const llama2 = { files: llama2Files(), pre: 'default' }
const llama3 = { files: llama3Files, pre: 'llama-bpe' }
const remote = 'its code lies with the checkpoint'
const sounds = 'the part that hears is cut short'
const pictures = 'the part that sees is cut short'
const withoutMtp = { upstream: ['--no-mtp'], mq: ['--no-mtp'] }
const onlyMtp = { upstream: ['--mtp'], mq: ['--mtp-only'] }
const aDraft = 'it is no whole model'

/** Layers for multi-token prediction left out, or alone; and models that write text that are of less use today. */
export const furtherDecoderSpecs: readonly CheckpointSpec[] = [
  {
    name: 'qwen3.5-no-mtp',
    checkpoint: 'qwen3.5',
    classes: ['Qwen3_5ForConditionalGeneration'],
    arch: 'qwen35',
    values: gatedDelta,
    options: withoutMtp,
    ...qwen35,
  },
  {
    name: 'qwen3-next-mtp-only',
    checkpoint: 'qwen3-next',
    classes: ['Qwen3NextForCausalLM'],
    arch: 'qwen3next',
    values: gatedDelta,
    options: onlyMtp,
    encoder: true,
    withoutTransformers: aDraft,
    ...qwen2,
  },
  {
    name: 'glm4.5-air-no-mtp',
    checkpoint: 'glm4.5-air',
    classes: ['Glm4MoeForCausalLM'],
    arch: 'glm4moe',
    options: withoutMtp,
    ...glm,
  },
  {
    name: 'glm4.5-air-mtp-only',
    checkpoint: 'glm4.5-air',
    classes: ['Glm4MoeForCausalLM'],
    arch: 'glm4moe',
    options: onlyMtp,
    encoder: true,
    withoutTransformers: aDraft,
    ...glm,
  },
  {
    name: 'qwen2-audio',
    classes: ['Qwen2AudioForConditionalGeneration', 'AudioFlamingo3ForConditionalGeneration'],
    arch: 'qwen2',
    withoutTransformers: sounds,
    ...qwen2,
  },
  { name: 'dots-ocr', classes: ['DotsOCRForCausalLM'], arch: 'qwen2', withoutTransformers: remote, ...qwen2 },
  { name: 'voxtral', classes: ['VoxtralForConditionalGeneration'], arch: 'llama', withoutTransformers: sounds, ...llama3 },
  { name: 'janus', classes: ['JanusForConditionalGeneration'], arch: 'llama', withoutTransformers: pictures, ...llama3 },
  {
    name: 'sarashina2.2-vision',
    classes: ['Sarashina2VisionForCausalLM'],
    arch: 'llama',
    withoutTransformers: remote,
    ...llama3,
  },
  {
    name: 'exaone4.5',
    classes: ['Exaone4_5_ForConditionalGeneration'],
    arch: 'exaone4',
    withoutTransformers: pictures,
    ...byteLevelModel('exaone4'),
  },
  {
    name: 'paddleocr-vl',
    classes: ['PaddleOCRVLForConditionalGeneration'],
    arch: 'paddleocr',
    withoutTransformers: remote,
    ...llama2,
  },
  { name: 'phi4-vision', classes: ['Phi4ForCausalLMV'], arch: 'phi3', withoutTransformers: remote, ...byteLevelModel('phi4') },
  { name: 'nanbeige4.2', classes: ['NanbeigeForCausalLM'], arch: 'nanbeige', withoutTransformers: remote, ...llama3 },
  {
    name: 'pangu-embedded',
    classes: ['PanguEmbeddedForCausalLM'],
    arch: 'pangu-embedded',
    withoutTransformers: remote,
    ...llama2,
  },
  { name: 'dream', classes: ['DreamModel'], arch: 'dream', encoder: true, withoutTransformers: remote, ...qwen2 },
  { name: 'rnd1', classes: ['RND1'], arch: 'rnd1', encoder: true, withoutTransformers: remote, ...qwen2 },
  {
    name: 'refact',
    classes: ['GPTRefactForCausalLM'],
    arch: 'refact',
    withoutTransformers: remote,
    ...byteLevelModel('starcoder'),
  },
  { name: 'dbrx', classes: ['DbrxForCausalLM'], arch: 'dbrx', ...llama3 },
  { name: 'arctic', classes: ['ArcticForCausalLM'], arch: 'arctic', withoutTransformers: remote, ...llama2 },
  { name: 'openelm', classes: ['OpenELMForCausalLM'], arch: 'openelm', withoutTransformers: remote, ...llama2 },
  { name: 'llada', classes: ['LLaDAModelLM'], arch: 'llada', encoder: true, withoutTransformers: remote, ...llama3 },
  { name: 'smallthinker', classes: ['SmallThinkerForCausalLM'], arch: 'smallthinker', withoutTransformers: remote, ...qwen2 },
]
