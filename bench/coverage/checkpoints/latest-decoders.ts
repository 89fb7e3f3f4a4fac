import type { CheckpointSpec } from './spec.js'
import { byteLevelModel } from './tokenizers/byte-level-models.js'
import { qwenFiles } from './tokenizers/published.js'
import { channelDecays, normsAroundZero } from './value-rules.js'

const cohere = byteLevelModel('cohere')
const qwen2 = { files: qwenFiles(), pre: 'qwen2' }
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
]
