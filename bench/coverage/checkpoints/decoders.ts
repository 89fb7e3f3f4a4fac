import type { CheckpointSpec, ValueRule } from './spec.js'
import { gemmaFiles, llama2Files, llama3Files, phi3Files, qwenFiles } from './tokenizers/published.js'

const llama2 = { files: llama2Files(), pre: 'default' }
const llama3 = { files: llama3Files, pre: 'llama-bpe' }
const qwen2 = { files: qwenFiles(), pre: 'qwen2' }
const gemma = { files: gemmaFiles(), pre: 'default' }
const phi3 = { files: phi3Files(), pre: 'default' }

/** Norms that multiply by 1 + weight. */
const normsAroundZero: readonly ValueRule[] = [[/norm\.weight$/, 0, 0.1]]

/** Models that write text, the most used first. */
export const decoderSpecs: readonly CheckpointSpec[] = [
  { name: 'llama', classes: ['LlamaForCausalLM'], arch: 'llama', ...llama3 },
  { name: 'llama-spm', classes: ['LlamaForCausalLM', 'LLaMAForCausalLM'], arch: 'llama', dtype: 'F16', ...llama2 },
  { name: 'mistral', classes: ['MistralForCausalLM'], arch: 'llama', ...llama2 },
  { name: 'mixtral', classes: ['MixtralForCausalLM'], arch: 'llama', ...llama2 },
  { name: 'qwen2', classes: ['Qwen2ForCausalLM'], arch: 'qwen2', ...qwen2 },
  { name: 'qwen3', classes: ['Qwen3ForCausalLM'], arch: 'qwen3', ...qwen2 },
  { name: 'qwen3-yarn', classes: ['Qwen3ForCausalLM'], arch: 'qwen3', ...qwen2 },
  { name: 'qwen2-moe', classes: ['Qwen2MoeForCausalLM'], arch: 'qwen2moe', ...qwen2 },
  { name: 'qwen3-moe', classes: ['Qwen3MoeForCausalLM'], arch: 'qwen3moe', ...qwen2 },
  { name: 'gemma2', classes: ['Gemma2ForCausalLM'], arch: 'gemma2', values: normsAroundZero, ...gemma },
  { name: 'gemma3', classes: ['Gemma3ForCausalLM'], arch: 'gemma3', values: normsAroundZero, ...gemma },
  { name: 'phi3', classes: ['Phi3ForCausalLM'], arch: 'phi3', ...phi3 },
  { name: 'phi3-longrope', classes: ['Phi3ForCausalLM'], arch: 'phi3', ...phi3 },
]
