import type { CheckpointSpec } from './spec.js'
import { byteLevelModel } from './tokenizers/byte-level-models.js'

const cohere = byteLevelModel('cohere')

/** Models of 2026 that write text. */
export const latestDecoderSpecs: readonly CheckpointSpec[] = [
  { name: 'hy3', classes: ['HYV3ForCausalLM'], arch: 'hy_v3', ...byteLevelModel('hunyuan') },
  { name: 'north-mini-code', classes: ['Cohere2MoeForCausalLM'], arch: 'cohere2moe', ...cohere },
  { name: 'cohere2moe-shared', classes: ['Cohere2MoeForCausalLM'], arch: 'cohere2moe', ...cohere },
]
