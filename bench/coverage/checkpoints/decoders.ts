import type { CheckpointSpec, ValueRule } from './spec.js'
import { byteLevelModel } from './tokenizers/byte-level-models.js'
import {
  gemma4Files,
  gemmaFiles,
  internLm2Files,
  llama2Files,
  llama3Files,
  phi3Files,
  qwenEmbeddingFiles,
  qwenFiles,
  qwenRerankerFiles,
} from './tokenizers/published.js'
import { rwkvWorldFiles } from './tokenizers/rwkv-world.js'
import { tekkenFiles } from './tokenizers/tekken.js'
import { tokenRanksFiles } from './tokenizers/token-ranks.js'
import { gatedDelta, normsAroundZero } from './value-rules.js'

const llama2 = { files: llama2Files(), pre: 'default' }
const llama3 = { files: llama3Files, pre: 'llama-bpe' }
const qwen2 = { files: qwenFiles(), pre: 'qwen2' }
const gemma = { files: gemmaFiles(), pre: 'default' }
const qwen35 = { files: qwenFiles('qwen35'), pre: 'qwen35' }
const deepseek = byteLevelModel('deepseek')
const kimi = byteLevelModel('kimi')
const kimiRanks = { files: tokenRanksFiles(kimi.files), pre: 'kimi-k2' }
const glm = byteLevelModel('glm')
const gptOss = byteLevelModel('gptOss')
const tekken = byteLevelModel('tekken')
const mistralFormat = {
  mistralFormat: true,
  classes: ['MistralParams'],
  files: { ...tekkenFiles(320), 'chat_template.jinja': '{{ messages[0].content }}' },
  pre: 'tekken',
  withoutTransformers: "it has Mistral's own form",
  options: { upstream: ['--mistral-format'], mq: [] },
} as const
const gemma4 = { files: gemma4Files(), pre: 'gemma4' }
const granite3 = byteLevelModel('granite3')
const granite4 = byteLevelModel('granite4')
const nemotronH = byteLevelModel('nemotronH')
const lfm2 = byteLevelModel('lfm2')
const olmo2 = byteLevelModel('olmo2')
const cohere = byteLevelModel('cohere')
const neox = byteLevelModel('neox')
const stablelm = byteLevelModel('stablelm2')
const qwenEmbedding = { files: qwenEmbeddingFiles(), pre: 'qwen2' }
const qwenReranker = { files: qwenRerankerFiles(), pre: 'qwen2' }
const internLm2 = { files: internLm2Files(), pre: 'default' }
const phi3 = { files: phi3Files(), pre: 'default' }

const mxfp4Scales: readonly ValueRule[] = [[/_scales$/, 124, 1]]
/** Decays are logarithms of 1 to 16, steps lie around softplus^-1 of a tenth, convolutions are short. */
const mamba: readonly ValueRule[] = [
  [/A_log$/, 1.2, 0.5],
  [/\.D$/, 1, 0.1],
  [/dt_bias$|dt_proj\.bias$/, -2, 0.5],
  [/conv1d\.weight$/, 0, 0.4],
]
const convolution: readonly ValueRule[] = [[/conv\.conv\.weight$/, 0, 0.4]]
/** Parameters of an activation function. */
const xielu: readonly ValueRule[] = [[/alpha_[pn]$/, 0.8, 0.1]]
const noRotaryPct = 'transformers 5 renames rotary_pct, which the converter asks for'
const falconHeads = 'transformers fills in as many heads of keys as of queries, and the converter then cuts the matrix wrongly'
const rwkv: readonly ValueRule[] = [[/\.x_[rwkvag]$|k_k$|k_a$/, 0.5, 0.2]]
const remote = 'its code lies with the checkpoint'
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
  { name: 'qwen3-next', classes: ['Qwen3NextForCausalLM'], arch: 'qwen3next', values: gatedDelta, ...qwen2 },
  { name: 'qwen3.5', classes: ['Qwen3_5ForConditionalGeneration'], arch: 'qwen35', values: gatedDelta, ...qwen35 },
  { name: 'qwen3.5-text', classes: ['Qwen3_5ForCausalLM'], arch: 'qwen35', values: gatedDelta, ...qwen35 },
  { name: 'qwen3.5-moe', classes: ['Qwen3_5MoeForConditionalGeneration'], arch: 'qwen35moe', values: gatedDelta, ...qwen35 },
  { name: 'qwen3.5-moe-text', classes: ['Qwen3_5MoeForCausalLM'], arch: 'qwen35moe', values: gatedDelta, ...qwen35 },
  { name: 'qwen2-vl', classes: ['Qwen2VLForConditionalGeneration', 'Qwen2VLModel'], arch: 'qwen2vl', ...qwen2 },
  { name: 'qwen2.5-vl', classes: ['Qwen2_5_VLForConditionalGeneration', 'Qwen2_5OmniModel'], arch: 'qwen2vl', ...qwen2 },
  { name: 'qwen3-vl', classes: ['Qwen3VLForConditionalGeneration'], arch: 'qwen3vl', ...qwen2 },
  { name: 'qwen3-vl-moe', classes: ['Qwen3VLMoeForConditionalGeneration'], arch: 'qwen3vlmoe', ...qwen2 },
  { name: 'gemma', classes: ['GemmaForCausalLM'], arch: 'gemma', values: normsAroundZero, ...gemma },
  { name: 'gemma3-vision', classes: ['Gemma3ForConditionalGeneration'], arch: 'gemma3', values: normsAroundZero, ...gemma },
  { name: 'gemma3n', classes: ['Gemma3nForConditionalGeneration', 'Gemma3nForCausalLM'], arch: 'gemma3n', ...gemma },
  {
    name: 'gemma4',
    classes: ['Gemma4ForConditionalGeneration', 'Gemma4ForCausalLM', 'Gemma4UnifiedForConditionalGeneration'],
    arch: 'gemma4',
    ...gemma4,
  },
  { name: 'gemma4-dense', classes: ['Gemma4ForConditionalGeneration'], arch: 'gemma4', ...gemma4 },
  { name: 'gemma4-moe', classes: ['Gemma4ForConditionalGeneration'], arch: 'gemma4', ...gemma4 },
  { name: 'deepseek', classes: ['DeepseekForCausalLM'], arch: 'deepseek', ...byteLevelModel('deepseekLlm') },
  { name: 'deepseek-v2-lite', classes: ['DeepseekV2ForCausalLM'], arch: 'deepseek2', ...byteLevelModel('deepseekLlm') },
  { name: 'deepseek-v2', classes: ['DeepseekV2ForCausalLM'], arch: 'deepseek2', ...byteLevelModel('deepseekLlm') },
  { name: 'deepseek-v3', classes: ['DeepseekV3ForCausalLM'], arch: 'deepseek2', ...deepseek },
  { name: 'deepseek-v3.2', classes: ['DeepseekV32ForCausalLM'], arch: 'deepseek32', ...deepseek },
  { name: 'kimi-k2', classes: ['DeepseekV3ForCausalLM'], arch: 'deepseek2', ...kimi },
  { name: 'kimi-k2-ranks', checkpoint: 'kimi-k2', classes: ['DeepseekV3ForCausalLM'], arch: 'deepseek2', ...kimiRanks },
  {
    name: 'kimi-k2.5',
    classes: ['KimiK25ForConditionalGeneration', 'KimiVLForConditionalGeneration'],
    arch: 'deepseek2',
    ...kimi,
  },
  { name: 'glm4', classes: ['Glm4ForCausalLM'], arch: 'glm4', ...glm },
  { name: 'glm4.5-air', classes: ['Glm4MoeForCausalLM'], arch: 'glm4moe', ...glm },
  { name: 'glm4.6', classes: ['Glm4MoeForCausalLM'], arch: 'glm4moe', ...glm },
  { name: 'glm4.7-flash', classes: ['Glm4MoeLiteForCausalLM'], arch: 'deepseek2', ...glm },
  { name: 'glm5', classes: ['GlmMoeDsaForCausalLM'], arch: 'glm-dsa', ...glm },
  { name: 'gpt-oss', classes: ['GptOssForCausalLM'], arch: 'gpt-oss', values: mxfp4Scales, ...gptOss },
  { name: 'gpt-oss-bf16', classes: ['GptOssForCausalLM'], arch: 'gpt-oss', ...gptOss },
  { name: 'phimoe', classes: ['PhiMoEForCausalLM'], arch: 'phimoe', ...phi3 },
  { name: 'phi4', classes: ['Phi3ForCausalLM'], arch: 'phi3', ...byteLevelModel('phi4') },
  { name: 'phi2', classes: ['PhiForCausalLM'], arch: 'phi2', dtype: 'F16', ...byteLevelModel('phi2') },
  { name: 'ministral3', classes: ['Mistral3ForConditionalGeneration'], arch: 'mistral3', ...tekken },
  { name: 'ministral3-text', classes: ['Ministral3ForCausalLM'], arch: 'mistral3', ...tekken },
  { name: 'mistral-small4', classes: ['Mistral3ForConditionalGeneration'], arch: 'mistral4', ...tekken },
  {
    name: 'ministral3-tekken',
    checkpoint: 'ministral3',
    classes: ['Mistral3ForConditionalGeneration'],
    arch: 'mistral3',
    files: tekkenFiles(320, 'v7'),
    pre: 'tekken',
  },
  { name: 'mistral-params', arch: 'llama', ...mistralFormat },
  { name: 'ministral3-params', arch: 'mistral3', ...mistralFormat },
  {
    name: 'mistral-large3-params',
    arch: 'deepseek2',
    ...mistralFormat,
    // llama.cpp's converter reads one for this class.
    files: { ...mistralFormat.files, 'config.json': {} },
  },
  { name: 'minimax-m2', classes: ['MiniMaxM2ForCausalLM'], arch: 'minimax-m2', ...byteLevelModel('miniMax') },
  { name: 'seed-oss', classes: ['SeedOssForCausalLM'], arch: 'seed_oss', ...byteLevelModel('seed') },
  {
    name: 'llama4',
    classes: ['Llama4ForConditionalGeneration', 'Llama4ForCausalLM'],
    arch: 'llama4',
    ...byteLevelModel('llama4'),
  },
  { name: 'smollm3', classes: ['SmolLM3ForCausalLM'], arch: 'smollm3', ...byteLevelModel('smollm3') },
  { name: 'qwen3-embedding', classes: ['Qwen3Model', 'Qwen3ForCausalLM'], arch: 'qwen3', encoder: true, ...qwenEmbedding },
  { name: 'qwen3-reranker', classes: ['Qwen3ForCausalLM'], arch: 'qwen3', encoder: true, ...qwenReranker },
  { name: 'arcee', classes: ['ArceeForCausalLM'], arch: 'arcee', ...llama3 },
  { name: 'apertus', classes: ['ApertusForCausalLM'], arch: 'apertus', values: xielu, ...tekken },
  { name: 'granite', classes: ['GraniteForCausalLM'], arch: 'granite', ...granite3 },
  { name: 'granite-moe', classes: ['GraniteMoeForCausalLM'], arch: 'granitemoe', ...granite3 },
  { name: 'granite-moe-shared', classes: ['GraniteMoeSharedForCausalLM'], arch: 'granitemoe', ...granite3 },
  { name: 'granite4-h-tiny', classes: ['GraniteMoeHybridForCausalLM'], arch: 'granitehybrid', values: mamba, ...granite4 },
  { name: 'granite4-h-1b', classes: ['GraniteMoeHybridForCausalLM'], arch: 'granitehybrid', values: mamba, ...granite4 },
  { name: 'granite4-micro', classes: ['GraniteMoeHybridForCausalLM'], arch: 'granite', ...granite4 },
  { name: 'bamba', classes: ['BambaForCausalLM'], arch: 'granitehybrid', values: mamba, ...byteLevelModel('bamba') },
  {
    name: 'nemotron-h',
    classes: ['NemotronHForCausalLM'],
    arch: 'nemotron_h',
    values: mamba,
    plainConfig: 'transformers fills in experts, and the converter then takes it for a model that has them',
    ...nemotronH,
  },
  { name: 'nemotron3-super-mtp', classes: ['NemotronHForCausalLM'], arch: 'nemotron_h_moe', values: mamba, ...nemotronH },
  { name: 'nemotron3-nano', classes: ['NemotronHForCausalLM'], arch: 'nemotron_h_moe', values: mamba, ...nemotronH },
  { name: 'nemotron3-super', classes: ['NemotronHForCausalLM'], arch: 'nemotron_h_moe', values: mamba, ...nemotronH },
  {
    name: 'nemotron3-puzzle',
    classes: ['NemotronHPuzzleForCausalLM'],
    arch: 'nemotron_h_moe',
    values: mamba,
    withoutTransformers: remote,
    ...nemotronH,
  },
  { name: 'nemotron', classes: ['NemotronForCausalLM'], arch: 'nemotron', values: normsAroundZero, ...llama2 },
  { name: 'lfm2', classes: ['Lfm2ForCausalLM', 'LFM2ForCausalLM'], arch: 'lfm2', values: convolution, ...lfm2 },
  { name: 'lfm2-moe', classes: ['Lfm2MoeForCausalLM'], arch: 'lfm2moe', values: convolution, ...lfm2 },
  { name: 'ernie4.5', classes: ['Ernie4_5ForCausalLM', 'Ernie4_5_ForCausalLM'], arch: 'ernie4_5', ...llama2 },
  { name: 'ernie4.5-moe', classes: ['Ernie4_5_MoeForCausalLM'], arch: 'ernie4_5-moe', ...llama2 },
  { name: 'hunyuan-dense', classes: ['HunYuanDenseV1ForCausalLM'], arch: 'hunyuan-dense', ...byteLevelModel('hunyuan') },
  { name: 'exaone4', classes: ['Exaone4ForCausalLM'], arch: 'exaone4', ...byteLevelModel('exaone4') },
  { name: 'exaone', classes: ['ExaoneForCausalLM'], arch: 'exaone', ...byteLevelModel('exaone') },
  {
    name: 'exaone-moe',
    classes: ['ExaoneMoEForCausalLM', 'ExaoneMoeForCausalLM'],
    arch: 'exaone-moe',
    ...byteLevelModel('exaoneMoe'),
  },
  { name: 'olmo', classes: ['OlmoForCausalLM', 'OLMoForCausalLM'], arch: 'olmo', ...byteLevelModel('olmo') },
  { name: 'olmo2', classes: ['Olmo2ForCausalLM'], arch: 'olmo2', ...olmo2 },
  { name: 'olmo3', classes: ['Olmo3ForCausalLM'], arch: 'olmo2', ...olmo2 },
  { name: 'olmoe', classes: ['OlmoeForCausalLM'], arch: 'olmoe', ...byteLevelModel('olmo') },
  { name: 'cohere', classes: ['CohereForCausalLM'], arch: 'command-r', dtype: 'F16', ...cohere },
  { name: 'cohere-plus', classes: ['CohereForCausalLM'], arch: 'command-r', dtype: 'F16', ...cohere },
  { name: 'cohere2', classes: ['Cohere2ForCausalLM'], arch: 'cohere2', dtype: 'F16', ...cohere },
  { name: 'falcon-h1', classes: ['FalconH1ForCausalLM'], arch: 'falcon-h1', values: mamba, ...byteLevelModel('falconH1') },
  { name: 'mamba', classes: ['MambaForCausalLM'], arch: 'mamba', dtype: 'F32', values: mamba, ...neox },
  {
    name: 'mamba-original',
    classes: ['MambaLMHeadModel'],
    arch: 'mamba',
    dtype: 'F32',
    values: mamba,
    withoutTransformers: 'its configuration has other names of the fields',
    ...neox,
  },
  { name: 'falcon-mamba', classes: ['FalconMambaForCausalLM'], arch: 'mamba', values: mamba, ...byteLevelModel('falcon') },
  { name: 'mamba2', classes: ['Mamba2ForCausalLM'], arch: 'mamba2', values: mamba, ...neox },
  { name: 'jamba', classes: ['JambaForCausalLM'], arch: 'jamba', values: mamba, ...llama2 },
  { name: 'dots1', classes: ['Dots1ForCausalLM'], arch: 'dots1', ...qwen2 },
  {
    name: 'stablelm',
    classes: ['StableLmForCausalLM', 'StableLMEpochForCausalLM', 'LlavaStableLMEpochForCausalLM'],
    arch: 'stablelm',
    ...stablelm,
  },
  { name: 'stablelm-12b', classes: ['StableLmForCausalLM'], arch: 'stablelm', ...stablelm },
  { name: 'starcoder2', classes: ['Starcoder2ForCausalLM'], arch: 'starcoder2', ...byteLevelModel('starcoder') },
  { name: 'gpt2', classes: ['GPT2LMHeadModel'], arch: 'gpt2', dtype: 'F32', ...byteLevelModel('gpt2') },
  { name: 'bloom', classes: ['BloomForCausalLM', 'BloomModel'], arch: 'bloom', dtype: 'F16', ...byteLevelModel('gpt2') },
  { name: 'codeshell', classes: ['CodeShellForCausalLM'], arch: 'codeshell', ...byteLevelModel('gpt2') },
  { name: 'minicpm', classes: ['MiniCPMForCausalLM'], arch: 'minicpm', ...llama2 },
  { name: 'starcoder', classes: ['GPTBigCodeForCausalLM'], arch: 'starcoder', dtype: 'F32', ...byteLevelModel('starcoder') },
  { name: 'jais2', classes: ['Jais2ForCausalLM'], arch: 'jais2', ...llama3 },
  { name: 'maincoder', classes: ['MaincoderForCausalLM'], arch: 'maincoder', ...qwen2 },
  { name: 'orion', classes: ['OrionForCausalLM'], arch: 'orion', ...llama2 },
  { name: 'gpt-neox', classes: ['GPTNeoXForCausalLM'], arch: 'gptneox', dtype: 'F16', plainConfig: noRotaryPct, ...neox },
  {
    name: 'falcon',
    classes: ['FalconForCausalLM', 'RWForCausalLM'],
    arch: 'falcon',
    plainConfig: falconHeads,
    ...byteLevelModel('falcon'),
  },
  { name: 'falcon-40b', classes: ['FalconForCausalLM'], arch: 'falcon', ...byteLevelModel('falcon') },
  { name: 'internlm2', classes: ['InternLM2ForCausalLM'], arch: 'internlm2', withoutTransformers: remote, ...internLm2 },
  { name: 'internlm3', classes: ['InternLM3ForCausalLM'], arch: 'llama', withoutTransformers: remote, ...llama2 },
  {
    name: 'bailing-moe',
    classes: ['BailingMoeForCausalLM'],
    arch: 'bailingmoe',
    withoutTransformers: remote,
    ...byteLevelModel('bailing'),
  },
  {
    name: 'bailing-moe2',
    classes: ['BailingMoeV2ForCausalLM'],
    arch: 'bailingmoe2',
    withoutTransformers: remote,
    ...byteLevelModel('bailing2'),
  },
  {
    name: 'rwkv7',
    classes: ['RWKV7ForCausalLM', 'Rwkv7ForCausalLM'],
    arch: 'rwkv7',
    withoutTransformers: remote,
    dtype: 'F32',
    values: rwkv,
    files: rwkvWorldFiles(),
    pre: 'default',
  },
]
