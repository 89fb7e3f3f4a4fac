import type { MetadataValue } from '../gguf/types.js'
import type { JsonObject } from './json.js'
import { stepsOf } from './steps.js'

/** The steps of a normalizer in a row, however they are nested. */
export function normalizerSteps(normalizer: unknown): JsonObject[] {
  return stepsOf(normalizer, 'normalizers')
}

/**
 * What a normalizer does to a text that llama.cpp does not do for byte-level BPE, in words; undefined where there is nothing. NFC changes
 * only text that is composed in an unusual way, and llama.cpp's own models have it.
 */
export function normalizerProblem(normalizer: unknown): string | undefined {
  const others = normalizerSteps(normalizer).filter((step) => step['type'] !== 'NFC')
  if (others.length === 0) return undefined
  return `it changes text by the normalizer ${others.map((step) => JSON.stringify(step['type'] ?? null)).join(', then ')}`
}

/** The metadata that llama.cpp's converter writes of a normalizer. Source: SpecialVocab._parse_normalizer, gguf-py/gguf/vocab.py. */
export function normalizerEntries(normalizer: unknown): [string, MetadataValue][] {
  const flags = new Map<string, boolean>()
  const set = (flag: string, value: unknown): void => {
    if (typeof value === 'boolean') flags.set(flag, value)
  }
  for (const step of normalizerSteps(normalizer)) {
    if (step['type'] === 'NFC') set('nfc', true)
    if (step['type'] === 'Lowercase') set('lowercase', true)
    if (step['type'] === 'StripAccents') set('strip_accents', true)
    if (step['type'] === 'BertNormalizer') {
      set('lowercase', step['lowercase'])
      set('strip_accents', step['strip_accents'])
    }
  }
  return ['nfc', 'lowercase', 'strip_accents'].flatMap((flag): [string, MetadataValue][] => {
    const value = flags.get(flag)
    return value === undefined ? [] : [[`tokenizer.ggml.normalizer.${flag}`, { type: 'bool', value }]]
  })
}
