import type { Metadata, MetadataValue } from '../../../formats/gguf/types.js'
import { readWidened, type Widened, widenedKey } from '../../../formats/gguf/widened.js'
import { MqError } from '../../errors/index.js'
import { elementCount, multiply, place, type Recipe, sameShape } from '../../recipe/index.js'
import { familyOfArchitecture } from '../architectures/index.js'
import type { Blueprint, BlueprintTensor } from '../blueprint.js'
import { placementOf, reversed } from './placement.js'
import { type Axis, axesOf, type BlockTraits, isNorm } from './tensor-axes.js'
import {
  type Growth,
  type Growths,
  growableWidths,
  type Size,
  sameSize,
  sizeAt,
  sizeOf,
  type WidthKey,
  type Widths,
  wholeBlocks,
  widthKeyOf,
} from './widths.js'

/** A width grows by whole sub-blocks. */
const step = 32

/**
 * The same model with larger widths: zeros are added such that every output stays what it was, so that rows become whole blocks of 256.
 * Feed-forward widths get zero rows in gate and up, and zero columns in down. The residual stream gets zero columns in what reads it and
 * zero rows in what writes it; norms, which divide by the root of the mean square, are multiplied by sqrt(old / new), and their epsilon
 * by old / new. Where llama.cpp multiplies the embedding by the root of the width (Gemma), the embedding is divided by what it grows by.
 * @param targets the new sizes. No tensor is read.
 * @throws MqError WIDTH_FIXED where the family, or a tensor of the model, does not let a width grow; OPTION_INVALID for a size that cannot be.
 */
export function widen(blueprint: Blueprint, targets: Widths): Blueprint {
  const growths = growthsOf(blueprint, targets)
  if (Object.keys(growths).length === 0) return blueprint
  return resize(blueprint, growths, 'grow')
}

/** All widths of a model that are not whole blocks of 256, and the next that are. */
export function usefulGrowths(blueprint: Blueprint): Widths {
  if (blueprint.widened !== undefined) return {}
  return Object.fromEntries(
    growableWidths(blueprint).flatMap(({ key, size }) => {
      const to = wholeBlocks(size)
      return sameSize(size, to) ? [] : [[key, to]]
    }),
  )
}

/** Whether widths grow: none; always, where it helps rows and the family allows it; auto, where it pays; or to given sizes. */
export type WidenRequest = 'none' | 'always' | 'auto' | Widths

/**
 * The model with the widths that are asked for; where nothing grows, a note of it says so.
 * @throws as widen; OPTION_INVALID for `auto`: without a budget there is nothing to compare.
 */
export function widenedBy(blueprint: Blueprint, request: WidenRequest = 'none'): Blueprint {
  if (request === 'none') return blueprint
  if (request === 'auto') throw nothingToCompare()
  const wide = widen(blueprint, request === 'always' ? usefulGrowths(blueprint) : request)
  return wide === blueprint ? { ...blueprint, notes: [...blueprint.notes, notWidenedNote(blueprint)] } : wide
}

/** @returns the error for `auto` where no budget is given. */
export function nothingToCompare(): MqError {
  const problem = 'it compares plans of a budget (bits, size or fit), and none is given; use always, or WIDTH=N'
  return MqError.of('OPTION_INVALID', { option: 'widen', value: 'auto', problem })
}

/** Why a model that was to be widened was not. */
export function notWidenedNote(blueprint: Blueprint): string {
  if (blueprint.widened !== undefined) return 'Nothing was widened: the file is a widened model already.'
  return 'Nothing was widened: no width needs it, or this architecture does not let it grow.'
}

/**
 * The model that a widened GGUF file was made of: zeros are taken out, norms and their epsilon are what they were up to rounding.
 * @throws MqError OPTION_INVALID where the file was not widened by mq; WIDTH_FIXED where it holds a tensor that is not known.
 */
export function narrow(blueprint: Blueprint): Blueprint {
  const growths = blueprint.widened
  if (growths === undefined) {
    throw MqError.of('OPTION_INVALID', {
      option: 'narrow',
      value: 'true',
      problem: `the file has no ${widenedKey} key: its widths are its own`,
    })
  }
  const { widened: _, ...rest } = resize(blueprint, growths, 'shrink')
  return rest
}

/**
 * The blueprint of a GGUF file with what its metadata say of its widths: which of its elements were added.
 * @throws RangeError where the metadata are not what mq writes.
 */
export function withGrowths(blueprint: Blueprint): Blueprint {
  const widened = readWidened(blueprint.metadata)?.widths
  if (widened === undefined) return blueprint
  const unknown = Object.keys(widened).find((key) => widthKeyOf(key) !== key)
  if (unknown !== undefined) throw new RangeError(`there is no width ${unknown}`)
  const before = resize({ ...blueprint, widened }, widened, 'shrink').tensors
  const tensors = blueprint.tensors.map((tensor, at): BlueprintTensor => {
    const shape = (before[at] as BlueprintTensor).shape
    return sameShape(shape, tensor.shape) ? tensor : { ...tensor, modelElements: elementCount(shape) }
  })
  return { ...blueprint, tensors, widened }
}

function growthsOf(blueprint: Blueprint, targets: Widths): Growths {
  const { architecture, layers } = blueprint
  const growable = new Map(growableWidths(blueprint).map(({ key, size }) => [key, size]))
  const growths: Partial<Record<WidthKey, Growth>> = {}
  for (const [key, to] of Object.entries(targets) as [WidthKey, Size][]) {
    const from = growable.get(key)
    if (from === undefined) {
      const known = familyOfArchitecture(architecture)?.widths
      const problem =
        known === undefined
          ? `mq does not know how ${architecture} models can be widened`
          : `a model of ${architecture} has no such width, or it cannot grow`
      throw MqError.of('WIDTH_FIXED', { width: key, problem })
    }
    if (key === 'embedding_length' && layers === familyOfArchitecture(architecture)?.widths?.queriesScaledAt) {
      const problem = `llama.cpp scales queries by it in ${architecture} models of ${layers} layers`
      throw MqError.of('WIDTH_FIXED', { width: key, problem })
    }
    if (blueprint.widened !== undefined) throw MqError.of('WIDTH_FIXED', { width: key, problem: 'the file was widened before' })
    const sizes = [from, to].map((size) => (typeof size === 'number' ? [size] : size))
    const fits = sizes[1]?.every((size, at) => size >= (sizes[0]?.[at] ?? 0) && size % step === 0)
    if (fits !== true || sizes[0]?.length !== sizes[1]?.length) {
      const problem = `it is neither ${sizeText(from)} nor a larger multiple of ${step}`
      throw MqError.of('OPTION_INVALID', { option: 'widen', value: `${key}=${sizeText(to)}`, problem })
    }
    if (!sameSize(from, to)) growths[key] = { from, to }
  }
  return growths
}

type Way = 'grow' | 'shrink'

/** What dimensions become. */
interface Resizing {
  readonly way: Way
  /** The widths that change, for messages. */
  readonly names: string
  readonly traitsOf: (layer: number) => BlockTraits
  readonly growthOf: (axis: Axis, layer: number) => { readonly from: number; readonly to: number } | undefined
}

function resize(blueprint: Blueprint, growths: Growths, way: Way): Blueprint {
  const resizing = {
    way,
    names: Object.keys(growths).join(', '),
    traitsOf: traitsByBlock(blueprint),
    growthOf: growthsByAxis(blueprint, growths),
  }
  const embedding = growths.embedding_length
  const factor = embedding === undefined ? 1 : Number(embedding.from) / Number(embedding.to)
  const scales = scalesOf(blueprint, way === 'grow' ? factor : 1 / factor)
  const tensors = blueprint.tensors.map((tensor) => resizeTensor(tensor, resizing, scales))
  return {
    ...blueprint,
    metadata: resizeMetadata(blueprint, growths, way),
    tensors,
    widened: growths,
    notes: [...blueprint.notes, ...(way === 'grow' ? [growthNote(growths)] : [])],
  }
}

/** Which growth a dimension has. A width that the metadata do not name is that of others: experts of a dense width, several shared ones. */
function growthsByAxis({ metadata, architecture }: Blueprint, growths: Growths): Resizing['growthOf'] {
  const has = (key: string): boolean => metadata.has(`${architecture}.${key}`)
  const expertKey = has('expert_feed_forward_length') ? 'expert_feed_forward_length' : 'feed_forward_length'
  const shared = has('expert_shared_feed_forward_length')
  const sharedCount = metadata.get(`${architecture}.expert_shared_count`)?.value
  const times = shared || typeof sharedCount !== 'number' ? 1 : Math.max(1, sharedCount)
  const keys: Readonly<Record<Exclude<Axis, '-'>, readonly [WidthKey, number]>> = {
    E: ['embedding_length', 1],
    EE: ['embedding_length', 2],
    F: ['feed_forward_length', 1],
    FF: ['feed_forward_length', 2],
    X: [expertKey, 1],
    S: shared ? ['expert_shared_feed_forward_length', 1] : [expertKey, times],
  }
  return (axis, layer) => {
    if (axis === '-') return undefined
    const [key, count] = keys[axis]
    const growth = growths[key]
    return growth && { from: count * sizeAt(growth.from, layer), to: count * sizeAt(growth.to, layer) }
  }
}

/** Parts of a dimension that grow alike. */
const partsOf = (axis: Axis): number => (axis === 'EE' || axis === 'FF' ? 2 : 1)

/** What the values of a tensor are multiplied by. `ratio`: the old width over the new. */
function scalesOf({ architecture, tensors }: Blueprint, ratio: number): (name: string) => number {
  if (ratio === 1) return () => 1
  const norm = Math.sqrt(ratio)
  if (familyOfArchitecture(architecture)?.widths?.embedding !== 'scaled') return (name) => (isNorm(name) ? norm : 1)
  const tied = !tensors.some(({ name }) => name === 'output.weight')
  return (name) => {
    if (name === 'token_embd.weight') return norm
    // What the embedding lost as a head, the norm before it makes up for.
    if (name === 'output_norm.weight' && tied) return 1
    return isNorm(name) ? norm : 1
  }
}

function resizeTensor(
  tensor: BlueprintTensor,
  { way, names, traitsOf, growthOf }: Resizing,
  scaleOf: (name: string) => number,
): BlueprintTensor {
  const { name, shape, layer = 0 } = tensor
  const axes = axesOf(name, shape, traitsOf(layer))
  if (axes === undefined) {
    throw MqError.of('WIDTH_FIXED', { width: names, problem: `mq does not know which widths the tensor ${name} has` })
  }
  let recipe: Recipe = tensor.recipe
  let columns: readonly number[] | undefined
  axes.forEach((axis, at) => {
    const growth = growthOf(axis, layer)
    if (growth === undefined || growth.from === growth.to) return
    const [before, after] = way === 'grow' ? [growth.from, growth.to] : [growth.to, growth.from]
    if (shape[at] !== before) {
      throw MqError.of('WIDTH_FIXED', {
        width: names,
        problem: `the tensor ${name} has ${shape[at]} where ${before} are expected`,
      })
    }
    const runs = placementOf(growth.from, growth.to, partsOf(axis))
    recipe = place(recipe, at, way === 'grow' ? runs : reversed(runs), after)
    if (at === axes.length - 1) columns = runs
  })
  const ownScale = scaleOf(name)
  if (axes.includes('E') && ownScale !== 1) recipe = multiply(recipe, ownScale)
  if (recipe === tensor.recipe) return tensor
  const { modelElements: _, columns: __, ...rest } = tensor
  const resized = { ...rest, shape: recipe.shape, recipe }
  return way === 'shrink' ? resized : { ...resized, modelElements: elementCount(shape), ...(columns && { columns }) }
}

function traitsByBlock({ metadata, architecture, tensors }: Blueprint): Resizing['traitsOf'] {
  const feedForward = sizeOf(metadata, architecture, 'feed_forward_length') ?? 0
  const latent = new Set(tensors.filter(({ name }) => name.endsWith('.ffn_latent_down.weight')).map(({ layer }) => layer))
  return (layer) => ({ feedForward: sizeAt(feedForward, layer), latentExperts: latent.has(layer) })
}

function resizeMetadata({ metadata, architecture, tensors }: Blueprint, growths: Growths, way: Way): Metadata {
  const key = (name: string): string => `${architecture}.${name}`
  const changed = new Map<string, MetadataValue>(metadata)
  for (const [name, { from, to }] of Object.entries(growths)) {
    const entry = changed.get(key(name))
    const size = way === 'grow' ? to : from
    if (entry !== undefined) changed.set(key(name), { ...entry, value: size } as MetadataValue)
  }
  const embedding = growths.embedding_length
  if (embedding !== undefined) {
    const ratio = Number(embedding.from) / Number(embedding.to)
    const epsilon = changed.get(key('attention.layer_norm_rms_epsilon'))
    if (epsilon?.type === 'float32') {
      const value = Math.fround(epsilon.value * (way === 'grow' ? ratio : 1 / ratio))
      changed.set(key('attention.layer_norm_rms_epsilon'), { type: 'float32', value })
    }
    if (way === 'grow') addHeadLength(changed, key, Number(embedding.from))
  }
  if (way === 'shrink') {
    changed.delete(widenedKey)
    return changed
  }
  const weights = tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0)
  changed.set(widenedKey, { type: 'string', value: JSON.stringify({ weights, widths: growths } satisfies Widened) })
  return changed
}

/** llama.cpp takes the length of a head from the width where no key says it. */
function addHeadLength(metadata: Map<string, MetadataValue>, key: (name: string) => string, width: number): void {
  const heads = metadata.get(key('attention.head_count'))?.value
  if (typeof heads !== 'number' || heads === 0) return
  for (const name of ['attention.key_length', 'attention.value_length']) {
    if (!metadata.has(key(name))) metadata.set(key(name), { type: 'uint32', value: Math.floor(width / heads) })
  }
}

function growthNote(growths: Growths): string {
  const widths = Object.entries(growths).map(([key, { from, to }]) => `${key} from ${sizeText(from)} to ${sizeText(to)}`)
  return `Widened with zeros, so that rows are whole blocks of 256: ${widths.join(', ')}. The model computes the same function.`
}

function sizeText(size: Size): string {
  return typeof size === 'number' ? String(size) : [...new Set(size)].join('/')
}
