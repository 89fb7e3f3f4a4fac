/**
 * Architectures that versions of llama.cpp know, by general.architecture of a file. Source: LLM_ARCH_NAMES in src/llama-arch.cpp of v0.4.0
 * and v0.5.0; the strings of libllama.so of v0.7.0.
 */
const since: readonly (readonly [version: string, names: string])[] = [
  [
    '0.4.0',
    `
  afmoe apertus arcee arctic arwkv7 baichuan bailingmoe bailingmoe2 bailingmoe3 bert bitnet bloom chameleon chatglm clip
  codeshell cogvlm cohere2 cohere2moe command-r dbrx deci deepseek deepseek2 deepseek2-ocr deepseek32 deepseek4 dflash dots1
  dots3note dream eagle3 ernie4_5 ernie4_5-moe eurobert exaone exaone-moe exaone4 falcon falcon-h1 gemma gemma-embedding
  gemma2 gemma3 gemma3n gemma4 gemma4-assistant glm-dsa glm4 glm4moe gpt-oss gpt2 gptj gptneox granite granite_swa
  granitehybrid granitemoe graniteswitch grok grovemoe hunyuan-dense hunyuan-moe hunyuan_vl hy_v3 internlm2 jais jais2 jamba
  jina-bert-v2 jina-bert-v3 kimi-k3 kimi-linear laguna lfm2 lfm2moe llada llada-moe llama llama-embed llama4 maincoder mamba
  mamba2 mellum mimo2 minicpm minicpm3 minimax-01 minimax-m2 minimax-m3 mistral3 mistral4 modern-bert mpt muse-glimmer
  nanbeige nemotron nemotron_h nemotron_h_moe neo-bert nomic-bert nomic-bert-moe olmo olmo2 olmoe openelm orion paddleocr
  pangu-embedded phi2 phi3 phimoe plamo plamo2 plamo3 plm pockettts qwen qwen2 qwen2moe qwen2vl qwen3 qwen35 qwen35moe
  qwen3moe qwen3next qwen3tts qwen3vl qwen3vlmoe qwen4exp refact rnd1 rwkv6 rwkv6qwen2 rwkv7 seed_oss smallthinker smollm3
  stablelm starcoder starcoder2 step35 t5 t5encoder talkie wavtokenizer-dec xverse
`,
  ],
  ['0.5.0', 'hrm_text hy_v4 maple spark2_5'],
  [
    '0.7.0',
    `
  clef gemma-embedding2 glm5-next k2-horizon maion-coder vllm-decision2
`,
  ],
]

/** Returns the earliest listed version that supports an architecture: `0.4.0` for older ones as well; undefined where none does. */
export function knownSince(architecture: string): string | undefined {
  return since.find(([, names]) => names.trim().split(/\s+/).includes(architecture))?.[0]
}

/** Lists the architectures that a version supports; for an unlisted version, those of the last one before it. */
export function architecturesOf(version: string): readonly string[] {
  return since.filter(([first]) => compareVersions(first, version) <= 0).flatMap(([, names]) => names.trim().split(/\s+/))
}

/** Compares two versions. @returns below 0 where `a` is the earlier one. */
export function compareVersions(a: string, b: string): number {
  const numbers = (version: string): number[] => version.split('-')[0]?.split('.').map(Number) ?? []
  const [left, right] = [numbers(a), numbers(b)]
  const index = left.findIndex((number, place) => number !== right[place])
  return index < 0 ? 0 : (left[index] ?? 0) - (right[index] ?? 0)
}
