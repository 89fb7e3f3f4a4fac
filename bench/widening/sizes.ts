import { ggmlBytes, ggmlType } from '../../formats/ggml/types.js'
import type { Blueprint } from '../../src/model/index.js'
import { sizeText, usefulChanges, type Widths, widen } from '../../src/model/widen/index.js'
import { candidatesFor } from '../../src/plan/allocate/candidates.js'
import { planPreset, writableTypes } from '../../src/plan/allocate/index.js'
import { elementCount, parameterCount, rowLength } from '../../src/recipe/index.js'
import { blueprintOfConfig } from './config-blueprint.js'

/** Sizes of one file, in bits per weight of the model: added zeros are no weights. */
export interface FileBits {
  /** Every matrix in the smallest type that its rows fit. */
  readonly least: number
  readonly Q4_K_M: number
  readonly IQ2_M: number
}

/** What widening does to the sizes of a model, from its configuration alone. */
export interface WideningSizes {
  readonly name: string
  /** Weights of the model. */
  readonly weights: number
  /** Each width that grows, as `hidden_size 2880 to 3072`. */
  readonly widths: readonly string[]
  readonly narrow: FileBits
  readonly wide: FileBits
  /** Elements of the wide model over the weights of the model: what a runtime reads and multiplies. */
  readonly elements: number
  /** The same of the matrices that one token runs through: of experts those that are used. */
  readonly activeElements: number
  /** Values of the KV cache of one token, before and after. */
  readonly cache: readonly [number, number]
}

/** Reads no weights. `choose`: which widths grow; by default all that help. */
export async function wideningSizes(name: string, choose: (model: Blueprint) => Widths = usefulChanges): Promise<WideningSizes> {
  const narrow = await blueprintOfConfig(name)
  const wide = widen(narrow, choose(narrow))
  const weights = parameterCount(narrow.tensors)
  return {
    name,
    weights,
    widths: Object.entries(wide.widened?.widths ?? {}).map(
      ([key, { from, to }]) => `${key} ${sizeText(from)} to ${sizeText(to)}`,
    ),
    narrow: await bitsOf(narrow, weights),
    wide: await bitsOf(wide, weights),
    elements: parameterCount(wide.tensors) / weights,
    activeElements: activeOf(wide) / activeOf(narrow),
    cache: [cacheOf(narrow), cacheOf(wide)],
  }
}

async function bitsOf(blueprint: Blueprint, weights: number): Promise<FileBits> {
  const writable = await writableTypes()
  const minBytes = blueprint.tensors.reduce((sum, tensor) => {
    const [least = 'F32'] = tensor.keepF32 ? ['F32' as const] : candidatesFor(tensor, blueprint, { writable })
    return sum + (elementCount(tensor.shape) / rowLength(tensor)) * ggmlBytes(ggmlType(least).name, rowLength(tensor))
  }, 0)
  const preset = (name: string): number =>
    (8 * planPreset(blueprint, name, { importance: true, writable, overrides: [] }).dataBytes) / weights
  return { least: (8 * minBytes) / weights, Q4_K_M: preset('Q4_K_M'), IQ2_M: preset('IQ2_M') }
}

/** Elements of matrices that are multiplied for each token; the embedding is looked up. */
function activeOf({ tensors, experts, metadata, architecture }: Blueprint): number {
  const used = Number(metadata.get(`${architecture}.expert_used_count`)?.value ?? 0)
  const tied = !tensors.some(({ name }) => name === 'output.weight')
  return tensors.reduce((sum, { name, shape, role }) => {
    if (shape.length < 2 || (role === 'embedding' && !tied)) return sum
    return sum + elementCount(shape) * (shape.length > 2 && name.includes('_exps') && experts > 0 ? used / experts : 1)
  }, 0)
}

/** Rows of the matrices of keys and values. */
function cacheOf({ tensors }: Blueprint): number {
  return tensors.reduce((sum, { name, shape }) => (/attn_(?:k|v|kv_a_mqa)\.weight$/.test(name) ? sum + (shape[0] ?? 0) : sum), 0)
}
