import type { CheckpointSpec } from './spec.js'
import { byteLevelModel } from './tokenizers/byte-level-models.js'
import { qwenFiles } from './tokenizers/published.js'
import { gatedDelta } from './value-rules.js'

const qwen2 = { files: qwenFiles(), pre: 'qwen2' }
const qwen35 = { files: qwenFiles('qwen35'), pre: 'qwen35' }
const glm = byteLevelModel('glm')
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
]
