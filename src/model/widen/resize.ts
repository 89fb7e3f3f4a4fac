import type { Metadata, MetadataValue } from '../../../formats/gguf/types.js'
import { type Widened, widenedKey } from '../../../formats/gguf/widened.js'
import { MqError } from '../../errors/index.js'
import { elementCount, multiply, parameterCount, place, type Recipe } from '../../recipe/index.js'
import { familyOfArchitecture } from '../architectures/index.js'
import type { Blueprint, BlueprintTensor } from '../blueprint.js'
import { changesByAxis } from './changes-by-axis.js'
import { reversed } from './placement.js'
import { type ScaleOf, scalesOf } from './scales.js'
import { axesOf, type BlockTraits } from './tensor-axes.js'
import { headsOf, sizeAt, sizeOf, sizeText, type Widening, type WidthChanges } from './widths.js'

/** Whether to widen a model or to restore the original widths. */
export type Way = 'widen' | 'narrow'

/** What dimensions and values become. */
interface Resizing {
  readonly way: Way
  /** The widths that change, for messages. */
  readonly names: string
  readonly traitsOf: (layer: number) => BlockTraits
  readonly changeOf: ReturnType<typeof changesByAxis>
  readonly scaleOf: ScaleOf
}

/**
 * A model with other widths. No tensor is read.
 * @throws MqError WIDTH_FIXED where a tensor is not known, or has another shape than its width says.
 */
export function resize(blueprint: Blueprint, widening: Widening, way: Way): Blueprint {
  const { widths: changes, grain } = widening
  const embedding = changes.embedding_length
  const ratio = embedding === undefined ? 1 : Number(embedding.from) / Number(embedding.to)
  const resizing = {
    way,
    names: Object.keys(changes).join(', '),
    traitsOf: traitsByBlock(blueprint),
    changeOf: changesByAxis(blueprint, changes, grain),
    scaleOf: scalesOf(blueprint, way === 'widen' ? ratio : 1 / ratio, headsOf(blueprint)),
  }
  return {
    ...blueprint,
    metadata: resizeMetadata(blueprint, widening, way),
    tensors: blueprint.tensors.map((tensor) => resizeTensor(tensor, resizing)),
    widened: widening,
    notes: [...blueprint.notes, ...(way === 'widen' ? [widenedNote(changes)] : [])],
  }
}

function resizeTensor(tensor: BlueprintTensor, { way, names, traitsOf, changeOf, scaleOf }: Resizing): BlueprintTensor {
  const { name, shape, layer = 0 } = tensor
  const axes = axesOf(name, shape, traitsOf(layer))
  if (axes === undefined) {
    throw MqError.of('WIDTH_FIXED', { width: names, problem: `mq does not know which widths the tensor ${name} has` })
  }
  let recipe: Recipe = tensor.recipe
  let columns: readonly number[] | undefined
  axes.forEach((axis, at) => {
    const change = changeOf(axis, layer)
    if (change === undefined || change.from === change.to) return
    const { runs } = change
    const [before, after] = way === 'widen' ? [change.from, change.to] : [change.to, change.from]
    if (shape[at] !== before) {
      throw MqError.of('WIDTH_FIXED', {
        width: names,
        problem: `the tensor ${name} has ${shape[at]} where ${before} are expected`,
      })
    }
    recipe = place(recipe, at, way === 'widen' ? runs : reversed(runs), after)
    if (at === axes.length - 1) columns = runs
  })
  const isOfStream = axes.some((axis) => axis === 'E' || axis === 'EE' || (axis === 'H' && changeOf(axis, layer) !== undefined))
  const ownScale = isOfStream ? scaleOf(name, axes) : 1
  if (ownScale !== 1) recipe = multiply(recipe, ownScale)
  if (recipe === tensor.recipe) return tensor
  const { modelElements: _, columns: __, ...rest } = tensor
  const resized = { ...rest, shape: recipe.shape, recipe }
  return way === 'narrow' ? resized : { ...resized, modelElements: elementCount(shape), ...(columns && { columns }) }
}

/** What of each block decides how its tensors are read. */
export function traitsByBlock(blueprint: Blueprint): Resizing['traitsOf'] {
  const { metadata, architecture, tensors } = blueprint
  const feedForward = sizeOf(metadata, architecture, 'feed_forward_length') ?? 0
  const shared = sizeOf(metadata, architecture, 'expert_shared_feed_forward_length') ?? 0
  const latent = new Set(tensors.filter(({ name }) => name.endsWith('.ffn_latent_down.weight')).map(({ layer }) => layer))
  const heads = headsOf(blueprint)
  const queries = heads === undefined || heads.count < 2 ? 0 : heads.count * heads.keyLength
  return (layer) => ({
    feedForward: sizeAt(feedForward, layer),
    shared: sizeAt(shared, layer),
    queries,
    latentExperts: latent.has(layer),
  })
}

function resizeMetadata(blueprint: Blueprint, widening: Widening, way: Way): Metadata {
  const { metadata, architecture, tensors } = blueprint
  const { widths: changes, grain } = widening
  const key = (name: string): string => `${architecture}.${name}`
  const changed = new Map<string, MetadataValue>(metadata)
  for (const [name, { from, to }] of Object.entries(changes)) {
    const entry = changed.get(key(name))
    const size = way === 'widen' ? to : from
    if (entry !== undefined) changed.set(key(name), { ...entry, value: size } as MetadataValue)
  }
  const embedding = changes.embedding_length
  if (embedding !== undefined && familyOfArchitecture(architecture)?.widths?.embedding === 'plain') {
    const ratio = Number(embedding.from) / Number(embedding.to)
    const epsilon = changed.get(key('attention.layer_norm_rms_epsilon'))
    if (epsilon?.type === 'float32') {
      const value = Math.fround(epsilon.value * (way === 'widen' ? ratio : 1 / ratio))
      changed.set(key('attention.layer_norm_rms_epsilon'), { type: 'float32', value })
    }
  }
  if (way === 'narrow') {
    changed.delete(widenedKey)
    return changed
  }
  if (embedding !== undefined || changes['attention.head_count'] !== undefined) addHeadLengths(changed, key, blueprint)
  const weights = parameterCount(tensors)
  changed.set(widenedKey, { type: 'string', value: JSON.stringify({ weights, grain, widths: changes } satisfies Widened) })
  return changed
}

/** llama.cpp takes the length of a head from the width and the heads where no key says it, and key-value heads from the heads. */
function addHeadLengths(metadata: Map<string, MetadataValue>, key: (name: string) => string, blueprint: Blueprint): void {
  const heads = headsOf(blueprint)
  if (heads === undefined) return
  const { keyLength, valueLength } = heads
  const lengths = { 'attention.key_length': keyLength, 'attention.value_length': valueLength }
  for (const [name, value] of Object.entries(lengths)) {
    if (!metadata.has(key(name))) metadata.set(key(name), { type: 'uint32', value })
  }
  // Heads without a key of their own are as many as those of queries.
  const groups = key('attention.head_count_kv')
  if (!metadata.has(groups)) metadata.set(groups, { type: 'uint32', value: heads.count })
}

function widenedNote(changes: WidthChanges): string {
  const widths = Object.entries(changes).map(([key, { from, to }]) => `${key} from ${sizeText(from)} to ${sizeText(to)}`)
  return `Widened with zeros, so that rows are whole blocks of 256: ${widths.join(', ')}. The model computes the same function.`
}
