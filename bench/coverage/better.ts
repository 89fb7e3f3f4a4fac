import type { GgufDigest } from './digest.js'

/** Keys in which our file differs from that of llama.cpp's converter on purpose, and why: see docs/decisions. */
const better: Readonly<Record<string, readonly [reason: string, ...keys: string[]]>> = {
  'gpt-neox': ["the converter forgets it for this class alone, and llama.cpp's quantizer writes it", 'general.file_type'],
  deepseek: ['a name for each row', 'tokenizer.ggml.tokens'],
  ...Object.fromEntries(
    ['dots1', 'qwen3.5', 'qwen3.5-text', 'qwen3.5-moe', 'qwen3.5-moe-text', 'qwen3.5-no-mtp'].map((name) => [
      name,
      ['only generation_config.json names it', 'tokenizer.ggml.bos_token_id'],
    ]),
  ),
}

/** The keys of a case that are ours on purpose; none for most. */
export function betterKeys(name: string): readonly string[] {
  return better[name]?.slice(1) ?? []
}

/** What differs on purpose, in words; undefined where all is to be equal. */
export function betterReason(name: string): string | undefined {
  const found = better[name]
  return found === undefined ? undefined : `but ${found.slice(1).join(', ')}: ${found[0]}`
}

/** A digest without the keys that differ on purpose. */
export function comparable(name: string, digest: GgufDigest): GgufDigest {
  const left = new Set(betterKeys(name))
  return { ...digest, keys: Object.fromEntries(Object.entries(digest.keys).filter(([key]) => !left.has(key))) }
}
