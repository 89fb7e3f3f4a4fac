import { MqError } from '../../errors/index.js'
import { bitsPerValue, exponentsOf, powersText, rowLength, scale } from '../../recipe/index.js'
import type { Blueprint, BlueprintTensor } from '../blueprint.js'

/**
 * Scales that are moved from what writes a vector to the matrices that read it, all powers of two: for each writer, a norm or a feed-forward
 * up-projection, a letter for each entry (see the recipe operation `scale`). Entry i of what it writes is divided by the power, column i of
 * each reader multiplied by it.
 */
export type Smoothing = Readonly<Record<string, string>>

/** A vector whose entries can be scaled: the tensor that writes it, and all matrices that read it. */
export interface Smoothable {
  readonly writer: BlueprintTensor
  readonly readers: readonly BlueprintTensor[]
}

/** Architectures whose norms are read by the matrices below only. */
const architectures: ReadonlySet<string> = new Set(['llama', 'qwen2', 'qwen3', 'qwen3moe', 'deepseek2'])

const ofAttention: ReadonlySet<string> = new Set(['attn_q', 'attn_k', 'attn_v', 'attn_q_a', 'attn_kv_a_mqa'])
const ofFeedForward: ReadonlySet<string> = new Set([
  'ffn_gate',
  'ffn_up',
  'ffn_gate_inp',
  'ffn_gate_exps',
  'ffn_up_exps',
  'ffn_gate_shexp',
  'ffn_up_shexp',
])
/** Tensors that read neither norm of a layer. A layer with any other tensor is not smoothed. */
const others: ReadonlySet<string> = new Set([
  'attn_norm',
  'ffn_norm',
  'attn_q_norm',
  'attn_k_norm',
  'attn_q_a_norm',
  'attn_kv_a_norm',
  'attn_q_b',
  'attn_kv_b',
  'attn_k_b',
  'attn_v_b',
  'attn_output',
  'ffn_down',
  'ffn_down_exps',
  'ffn_down_shexp',
  'exp_probs_b',
])
/** Biases of matrices that read a norm. */
const biases: ReadonlySet<string> = new Set(['attn_q', 'attn_k', 'attn_v', 'attn_output', 'exp_probs_b', 'ffn_down'])

/**
 * The vectors of a model whose entries can be scaled without changing its function: outputs of norms, and the product of gate and up in a dense
 * feed-forward part. Not the output of the last norm, which llama.cpp returns as the embedding of a text. None of matrices that the source holds in fewer than 16 bits, whose blocks may be copied.
 */
export function smoothable({ architecture, tensors }: Pick<Blueprint, 'architecture' | 'tensors'>): Smoothable[] {
  if (!architectures.has(architecture)) return []
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]))
  const found: Smoothable[] = []
  const add = (writerName: string, readers: readonly (BlueprintTensor | undefined)[]): void => {
    const writer = byName.get(writerName)
    const there = readers.filter((reader) => reader !== undefined)
    const matrices = writer?.shape.length === 1 ? there : [...there, ...(writer === undefined ? [] : [writer])]
    if (writer === undefined || there.length === 0) return
    const size = writer.shape.length === 1 ? rowLength(writer) : writer.shape.at(-2)
    if (there.some((reader) => rowLength(reader) !== size) || matrices.some(({ recipe }) => bitsPerValue(recipe) < 15.9)) return
    found.push({ writer, readers: there })
  }
  const layers = new Set(tensors.flatMap(({ layer }) => (layer === undefined ? [] : [layer])))
  for (const layer of layers) {
    const prefix = `blk.${layer}.`
    const ofLayer = tensors.filter(({ name }) => name.startsWith(prefix))
    const partOf = ({ name }: BlueprintTensor): string => name.slice(prefix.length).replace(/\.(weight|bias)$/, '')
    const isKnown = ofLayer.every((tensor) => {
      const part = partOf(tensor)
      if (tensor.name.endsWith('.bias')) return biases.has(part)
      return ofAttention.has(part) || ofFeedForward.has(part) || others.has(part)
    })
    if (!isKnown) continue
    const weights = ofLayer.filter(({ name }) => name.endsWith('.weight'))
    add(
      `${prefix}attn_norm.weight`,
      weights.filter((tensor) => ofAttention.has(partOf(tensor))),
    )
    add(
      `${prefix}ffn_norm.weight`,
      weights.filter((tensor) => ofFeedForward.has(partOf(tensor))),
    )
    if (byName.has(`${prefix}ffn_gate.weight`)) add(`${prefix}ffn_up.weight`, [byName.get(`${prefix}ffn_down.weight`)])
  }
  return found
}

/**
 * The same function with scales moved: every power of two is exact, so that logits in F32 are the same to the last bit.
 * @throws MqError PLAN_MISMATCH where the model has no such vector, or one of another length.
 */
export function smooth(blueprint: Blueprint, smoothing: Smoothing): Blueprint {
  const known = new Map(smoothable(blueprint).map((vector) => [vector.writer.name, vector]))
  const scaled = new Map(blueprint.tensors.map((tensor) => [tensor.name, tensor]))
  const change = (name: string, axisFromEnd: number, powers: string): void => {
    const tensor = scaled.get(name) as BlueprintTensor
    const recipe = scale(tensor.recipe, tensor.shape.length - axisFromEnd, powers)
    scaled.set(name, { ...tensor, recipe })
  }
  for (const [name, powers] of Object.entries(smoothing)) {
    const vector = known.get(name)
    const size = vector && rowLength(vector.readers[0] as BlueprintTensor)
    if (vector === undefined || size !== powers.length) {
      const problem = `its scales for ${name} fit no vector of the model`
      throw MqError.of('PLAN_MISMATCH', { problem })
    }
    change(name, vector.writer.shape.length === 1 ? 1 : 2, powersText(exponentsOf(powers).map((exponent) => -exponent)))
    for (const reader of vector.readers) change(reader.name, 1, powers)
  }
  const count = Object.keys(smoothing).length
  const note = `Scales are moved from norms or up-projections into the matrices that read them (vectors: ${count}), so that input columns differ less in magnitude. The model computes the same function; LoRA adapters and importance matrices of the original do not fit this file.`
  return { ...blueprint, tensors: [...scaled.values()], smoothing, notes: [...blueprint.notes, note] }
}
