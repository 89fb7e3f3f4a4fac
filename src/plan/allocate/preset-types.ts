import { fitsRow, type GgmlTypeName } from '../../../formats/ggml/types.js'
import type { Metadata } from '../../../formats/gguf/index.js'
import { type Blueprint, type BlueprintTensor, familyOfArchitecture } from '../../model/index.js'
import { rowLength } from '../../recipe/index.js'
import { isFloatType } from './candidates.js'
import type { TensorPosition } from './preset-rules.js'
import type { Preset } from './presets.js'

/** Kinds of tensors that llama-quantize recognises by name. The first that matches applies. */
const kinds = {
  output: { words: 'the output matrix', matches: (name: string) => name === 'output.weight' },
  embedding: {
    words: 'embeddings',
    matches: (name: string) => name === 'token_embd.weight' || name === 'per_layer_token_embd.weight',
  },
  value: {
    words: 'attention values',
    matches: (name: string) => /attn_(qkv|kv_b|v)\.weight/.test(name),
  },
  key: { words: 'attention keys', matches: (name: string) => name.includes('attn_k.weight') },
  query: { words: 'attention queries', matches: (name: string) => name.includes('attn_q.weight') },
  attentionOutput: { words: "attention's output", matches: (name: string) => name.includes('attn_output.weight') },
  up: { words: 'up-projections', matches: (name: string) => name.includes('ffn_up') },
  gate: { words: 'gates', matches: (name: string) => name.includes('ffn_gate') },
  down: { words: 'down-projections', matches: (name: string) => name.includes('ffn_down') },
} as const

type Kind = keyof typeof kinds

/** Tensors that llama-quantize does not quantize, besides vectors and norms: small ones, or ones that are not used in matrix products. */
const neverQuantized: readonly RegExp[] = [
  /_norm\.weight/,
  /ffn_gate_(inp|tid2eid)\.weight/,
  /altup|laurel|per_layer_model_proj/,
  /^(position_embd|token_types)\.weight$/,
  /ssm_conv1d|shortconv\.conv\.weight/,
  /indexer\.[kq]_proj\.weight/,
  /time_mix_(first|[wva][012]|g[12]|decay_w[12]|lerp_fused)\.weight/,
  /attn_rel_b\.weight/,
  /\.position_embd|sam\.(pos_embd|neck\.|net_)|\.rel_pos|\.patch_(embd|merger)/,
  /a\.rvq\.codebook|mm\.a\.code_embd/,
]

/** A tensor's type under a preset, before any fallback, and the rule that it comes from. */
export interface PresetChoice {
  readonly type: GgmlTypeName
  /** What kind of tensor a rule of the preset was made for; absent for the preset's main type. */
  readonly rule?: string
}

/**
 * The type of every tensor under a preset, by name; those that are not quantized are left out. In the order of blocks and names, in
 * which llama-quantize counts.
 * @param taken whether the user sets the type of a tensor: it is not counted.
 */
export function presetTypes(
  blueprint: Blueprint,
  preset: Preset,
  { importance, taken }: { readonly importance: boolean; readonly taken: (name: string) => boolean },
): ReadonlyMap<string, PresetChoice> {
  const { metadata, architecture, layers, experts } = blueprint
  const heads = firstNumber(metadata, `${architecture}.attention.head_count`) ?? 1
  const groups = firstNumber(metadata, `${architecture}.attention.head_count_kv`) ?? heads
  const facts = { headsPerGroup: groups === 0 ? 0 : Math.floor(heads / groups), experts, importance }
  const large = familyOfArchitecture(architecture)?.quirks?.isSeventyBillion?.(layers, heads, groups) ?? false
  const sorted = blueprint.tensors.toSorted(byBlockAndName)
  const count = { value: 0, gate: 0, up: 0, down: 0 }
  const values = sorted.filter(({ name }) => kindOf(name) === 'value').length
  const tied = !sorted.some(({ name }) => name === 'output.weight')

  /** Counts a tensor and returns its position; in models with experts that of a feed-forward tensor is its layer. */
  const positionOf = (tensor: BlueprintTensor, kind: 'value' | 'gate' | 'up' | 'down'): TensorPosition => {
    const order = count[kind]++
    if (kind === 'value') return { ...facts, index: order, count: values }
    return { ...facts, index: experts > 1 && preset.lowBits !== true ? (tensor.layer ?? 0) : order, count: layers }
  }

  const ruled = (tensor: BlueprintTensor): { type: GgmlTypeName | undefined; rule: string } | undefined => {
    const kind = kindOf(tensor.name)
    const nowhere: TensorPosition = { ...facts, index: 0, count: 0 }
    const words = kind === undefined ? '' : kinds[kind].words
    if (kind === 'output' || (kind === 'embedding' && tied)) return { type: outputType(tensor, preset), rule: kinds.output.words }
    if (preset.stacked !== undefined)
      return { type: tensor.shape.length > 2 ? preset.stacked : undefined, rule: 'stacked matrices' }
    switch (kind) {
      case undefined:
        return undefined
      case 'embedding':
        return { type: preset.embedding, rule: words }
      case 'value':
        return { type: valueType(preset, positionOf(tensor, kind), large), rule: words }
      case 'key':
        return { type: preset.lowBits !== true && experts === 8 ? 'Q8_0' : preset.key?.(nowhere), rule: words }
      case 'query':
      case 'attentionOutput':
        return { type: preset[kind]?.(nowhere), rule: words }
      default:
        return { type: preset[kind]?.(positionOf(tensor, kind)), rule: words }
    }
  }

  const choices = new Map<string, PresetChoice>()
  for (const tensor of sorted) {
    if (!isQuantized(tensor) || taken(tensor.name)) continue
    const { type = preset.type, rule = '' } = isFloatType(preset.type) ? {} : (ruled(tensor) ?? {})
    choices.set(tensor.name, type === preset.type || rule === '' ? { type } : { type, rule })
  }
  return choices
}

function outputType(tensor: BlueprintTensor, preset: Preset): GgmlTypeName {
  return fitsRow(preset.type, rowLength(tensor)) ? (preset.output ?? 'Q6_K') : 'Q8_0'
}

function valueType(preset: Preset, position: TensorPosition, large: boolean): GgmlTypeName {
  const type = preset.value?.(position) ?? preset.type
  if (preset.lowBits === true) return type
  if (position.experts === 8) return 'Q8_0'
  // The 70B Llamas share each value head among 8 query heads, so that their value matrices are small.
  return large && (type === 'Q3_K' || type === 'Q4_K') ? 'Q5_K' : type
}

function isQuantized({ name, shape, keepF32 }: BlueprintTensor): boolean {
  const dimensions =
    shape.length -
    Math.max(
      0,
      shape.findIndex((size) => size !== 1),
    )
  return !keepF32 && dimensions > 1 && name.endsWith('weight') && !neverQuantized.some((pattern) => pattern.test(name))
}

function kindOf(name: string): Kind | undefined {
  return (Object.keys(kinds) as Kind[]).find((kind) => kinds[kind].matches(name))
}

function byBlockAndName(a: BlueprintTensor, b: BlueprintTensor): number {
  return (a.layer ?? -1) - (b.layer ?? -1) || (a.name < b.name ? -1 : 1)
}

/** A number of the metadata, or the first of a list with one for each block. */
function firstNumber(metadata: Metadata, key: string): number | undefined {
  const entry = metadata.get(key)
  const value = entry?.type === 'array' ? entry.value[0] : entry?.value
  return typeof value === 'number' || typeof value === 'bigint' ? Number(value) : undefined
}
