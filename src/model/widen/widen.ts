import { readWidened, widenedKey } from '../../../formats/gguf/widened.js'
import { MqError } from '../../errors/index.js'
import { blocksOf, elementCount, sameShape } from '../../recipe/index.js'
import { familyOfArchitecture } from '../architectures/index.js'
import type { Blueprint, BlueprintTensor } from '../blueprint.js'
import { changesByAxis, keyOfAxis } from './changes-by-axis.js'
import { type Grain, subBlock, superBlock } from './placement.js'
import { resize, traitsByBlock } from './resize.js'
import { axesOf } from './tensor-axes.js'
import {
  configNameOf,
  headsOf,
  isWholeGroups,
  type Size,
  sameSize,
  sizeAt,
  sizeOf,
  sizeText,
  type Widening,
  type WidthChange,
  type WidthChanges,
  type WidthKey,
  type Widths,
  wholeBlocks,
  widenableWidths,
  widthKeyOf,
} from './widths.js'

/**
 * Widens a model: adds zeros such that its function stays the same and rows become whole blocks of 256.
 * Feed-forward widths get zero rows in gate and up, and zero columns in down. The residual stream gets zero columns in matrices that read it and
 * zero rows in those that write to it; norms, which divide by the root of the mean square, are multiplied by sqrt(old / new), and their epsilon
 * by old / new; or, where other norms share the epsilon, the matrices that write to it are multiplied by sqrt(new / old) instead. Where llama.cpp
 * multiplies the embedding by the root of the width (Gemma), it does that itself. Query heads of zeros join the groups of their key-value
 * heads, and cost no cache.
 * @param targets the new sizes. No tensor is read.
 * @param grain how zeros come between entries: see placementOf. By default as is best for the source.
 * @throws MqError WIDTH_FIXED where the family, or a tensor of the model, does not let a width grow; OPTION_INVALID for a size that cannot be.
 */
export function widen(blueprint: Blueprint, targets: Widths, grain: Grain = grainOf(blueprint)): Blueprint {
  const changes = changesOf(blueprint, targets)
  if (Object.keys(changes).length === 0) return blueprint
  return resize(blueprint, { widths: changes, grain }, 'widen')
}

/** All widths of a model that are not whole blocks of 256, and the next that are. */
export function usefulChanges(blueprint: Pick<Blueprint, 'architecture' | 'metadata' | 'layers' | 'widened'>): Widths {
  if (blueprint.widened !== undefined) return {}
  return Object.fromEntries(
    widenableWidths(blueprint).flatMap(({ key, size }) => {
      const to = usefulSize(blueprint, key, size)
      return to === undefined || sameSize(size, to) ? [] : [[key, to]]
    }),
  )
}

/** A width that would make rows whole blocks of 256. */
export interface RowChange {
  readonly key: WidthKey
  /** As config.json calls it. */
  readonly name: string
  readonly to: Size
  /** The new row length relative to the old one. */
  readonly growth: number
}

/** The width that makes the rows of a tensor whole blocks of 256 when widened; undefined where none does. */
export function rowChanges(
  blueprint: Blueprint,
): (tensor: Pick<BlueprintTensor, 'name' | 'shape' | 'layer'>) => RowChange | undefined {
  const useful = usefulChanges(blueprint)
  if (Object.keys(useful).length === 0) return () => undefined
  const traitsOf = traitsByBlock(blueprint)
  return ({ name, shape, layer = 0 }) => {
    const axis = axesOf(name, shape, traitsOf(layer))?.at(-1)
    const key = axis && keyOfAxis(blueprint, axis)
    const to = key && useful[key]
    const from = sizeOf(blueprint.metadata, blueprint.architecture, key ?? '')
    if (key === undefined || to === undefined || from === undefined) return undefined
    return { key, name: configNameOf(key), to, growth: sizeAt(to, layer) / sizeAt(from, layer) }
  }
}

/**
 * The widths that give a model rows of these lengths; undefined if it has them already, or if no widths do.
 * @param lengths by the names of tensors.
 */
export function widthsOfRows(blueprint: Blueprint, lengths: ReadonlyMap<string, number>): Widths | undefined {
  const traitsOf = traitsByBlock(blueprint)
  const heads = headsOf(blueprint)
  const found: Partial<Record<WidthKey, number>> = {}
  for (const { name, shape, layer = 0 } of blueprint.tensors) {
    const [length, own] = [lengths.get(name), shape.at(-1) ?? 0]
    if (length === undefined || length === own) continue
    const axis = axesOf(name, shape, traitsOf(layer))?.at(-1)
    const key = axis && keyOfAxis(blueprint, axis)
    const size = sizeOf(blueprint.metadata, blueprint.architecture, key ?? '')
    if (key === undefined || size === undefined) return undefined
    // What stands several times in a row grows as often.
    const to = key === 'attention.head_count' ? length / (heads?.valueLength ?? 0) : (length * sizeAt(size, layer)) / own
    if (!Number.isSafeInteger(to) || (found[key] ?? to) !== to) return undefined
    found[key] = to
  }
  return Object.keys(found).length === 0 ? undefined : found
}

/** Whether to widen: none; always, for all rows that are no whole blocks, as far as the family allows; auto, where the expected loss is lower; or to given sizes. */
export type WidenRequest = 'none' | 'always' | 'auto' | Widths

/**
 * The model with the requested widths; if nothing is widened, with a note.
 * @throws as widen; OPTION_INVALID for `auto`: without a budget there is nothing to compare.
 */
export function widenedBy(blueprint: Blueprint, request: WidenRequest = 'none'): Blueprint {
  if (request === 'none') return blueprint
  if (request === 'auto') throw nothingToCompare()
  const wide = widen(blueprint, request === 'always' ? usefulChanges(blueprint) : request)
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
  return 'Nothing was widened: all widths are multiples of 256 already, or cannot be widened in this architecture.'
}

/**
 * The original model of a widened GGUF file: zeros are removed; norms and their epsilon are restored up to rounding.
 * @throws MqError OPTION_INVALID where the file was not widened by mq; WIDTH_FIXED where it holds a tensor that is not known.
 */
export function narrow(blueprint: Blueprint): Blueprint {
  const { widened } = blueprint
  if (widened === undefined) {
    throw MqError.of('OPTION_INVALID', {
      option: 'narrow',
      value: 'true',
      problem: `the file has no ${widenedKey} key: it was not widened`,
    })
  }
  const { widened: _, ...rest } = resize(blueprint, widened, 'narrow')
  return rest
}

/**
 * The blueprint of a GGUF file with the widening that its metadata describe: which of its elements were added.
 * @throws RangeError where the metadata are not what mq writes.
 */
export function withChanges(blueprint: Blueprint): Blueprint {
  const widened = readWidened(blueprint.metadata)
  if (widened === undefined) return blueprint
  const unknown = Object.keys(widened.widths).find((key) => widthKeyOf(key) !== key)
  if (unknown !== undefined) throw new RangeError(`there is no width ${unknown}`)
  const widening: Widening = { widths: widened.widths, grain: widened.grain }
  const before = resize({ ...blueprint, widened: widening }, widening, 'narrow').tensors
  const [traitsOf, changeOf] = [traitsByBlock(blueprint), changesByAxis(blueprint, widening.widths, widening.grain)]
  const tensors = blueprint.tensors.map((tensor, at): BlueprintTensor => {
    const { shape } = before[at] as BlueprintTensor
    if (sameShape(shape, tensor.shape)) return tensor
    const { name, layer = 0 } = tensor
    const axis = axesOf(name, tensor.shape, traitsOf(layer))?.at(-1)
    const columns = shape.at(-1) === tensor.shape.at(-1) ? undefined : axis && changeOf(axis, layer)?.runs
    return { ...tensor, modelElements: elementCount(shape), ...(columns && { columns }) }
  })
  return { ...blueprint, tensors, widened: widening }
}

/** Blocks that a source holds are copied where they stay whole; of all other sources zeros are spread evenly. */
function grainOf({ tensors }: Blueprint): Grain {
  return tensors.some(({ recipe }) => blocksOf(recipe) !== undefined) ? subBlock : defaultGrain
}

const defaultGrain: Grain = 1

/** The least size that gives rows of whole blocks of 256; undefined where it does not grow by itself, or no such size is allowed. */
function usefulSize(model: Pick<Blueprint, 'architecture' | 'metadata' | 'layers'>, key: WidthKey, size: Size): Size | undefined {
  const traits = familyOfArchitecture(model.architecture)?.widths
  if (isFixedByAttention(model, key)) return undefined
  if (key !== 'attention.head_count' && !(key === 'embedding_length' && traits?.heads === 'with-embedding'))
    return wholeBlocks(size)
  const heads = headsOf(model)
  if (heads === undefined || typeof size !== 'number') return undefined
  if (key === 'attention.head_count') {
    if (traits?.heads !== 'free') return undefined
    const counts = Array.from({ length: superBlock }, (_, more) => size + more)
    return counts.find((count) => (count * heads.valueLength) % superBlock === 0 && isWholeGroups(count, heads))
  }
  const widths = Array.from({ length: superBlock }, (_, more) => Number(wholeBlocks(size)) + more * superBlock)
  return widths.find((width) => isWholeGroups(width / heads.keyLength, heads))
}

/** Whether attention of a model depends on its width or its heads. */
function isFixedByAttention({ architecture, layers }: Pick<Blueprint, 'architecture' | 'layers'>, key: WidthKey): boolean {
  const ofAttention = key === 'embedding_length' || key === 'attention.head_count'
  return ofAttention && layers === familyOfArchitecture(architecture)?.widths?.attentionFixedAt
}

function changesOf(blueprint: Blueprint, targets: Widths): WidthChanges {
  const { architecture, layers, metadata } = blueprint
  const traits = familyOfArchitecture(architecture)?.widths
  const widenable = new Map(widenableWidths(blueprint).map(({ key, size }) => [key, size]))
  const changes: Partial<Record<WidthKey, WidthChange>> = {}
  for (const [key, to] of Object.entries(withHeads(blueprint, targets)) as [WidthKey, Size][]) {
    const from = widenable.get(key)
    const fixed = (problem: string): MqError => MqError.of('WIDTH_FIXED', { width: key, problem })
    if (from === undefined) {
      if (traits === undefined) throw fixed(`mq does not know how ${architecture} models can be widened`)
      const reason = key === 'embedding_length' || !traits.feedForward ? traits.fixed : undefined
      throw fixed(
        reason === undefined || !metadata.has(`${architecture}.${key}`)
          ? `${architecture} models have no such width, or it cannot be widened`
          : `in ${architecture} models it cannot be widened: ${reason}`,
      )
    }
    if (isFixedByAttention(blueprint, key)) {
      throw fixed(`llama.cpp computes attention from it in ${architecture} models of ${layers} layers`)
    }
    if (blueprint.widened !== undefined) throw fixed('the file was widened before')
    checkSize(blueprint, key, from, to)
    if (!sameSize(from, to)) changes[key] = { from, to }
  }
  return changes
}

/** Where all heads together are as wide as the residual stream, both grow. */
function withHeads(blueprint: Blueprint, targets: Widths): Widths {
  const { embedding_length: embedding } = targets
  const heads = headsOf(blueprint)
  if (familyOfArchitecture(blueprint.architecture)?.widths?.heads !== 'with-embedding' || heads === undefined) return targets
  const count = Number(embedding ?? Number.NaN) / heads.keyLength
  if (embedding === undefined && targets['attention.head_count'] === undefined) return targets
  if (isWholeGroups(count, heads) && Number(targets['attention.head_count'] ?? count) === count) {
    return { ...targets, 'attention.head_count': count }
  }
  const [width, to] =
    embedding === undefined ? ['attention.head_count', ''] : ['embedding_length', `, which ${sizeText(embedding)} is not`]
  const multiple = heads.keyLength * Number(heads.keyValue)
  const problem = `llama.cpp takes the heads of ${blueprint.architecture} models to be hidden_size wide together: it can be widened to multiples of ${multiple}, with more heads${to}`
  throw MqError.of('WIDTH_FIXED', { width, problem })
}

/** @throws MqError OPTION_INVALID. */
function checkSize(blueprint: Blueprint, key: WidthKey, from: Size, to: Size): void {
  const [before, after] = [from, to].map((size) => (typeof size === 'number' ? [size] : size)) as [
    readonly number[],
    readonly number[],
  ]
  const invalid = (problem: string): MqError =>
    MqError.of('OPTION_INVALID', { option: 'widen', value: `${key}=${sizeText(to)}`, problem })
  const larger = before.length === after.length && after.every((size, at) => size >= (before[at] ?? 0))
  if (key === 'attention.head_count') {
    const heads = headsOf(blueprint)
    if (!larger || heads === undefined || !after.every((count) => isWholeGroups(count, heads))) {
      throw invalid(
        `it is neither ${sizeText(from)} nor a larger multiple of the ${heads === undefined ? '' : sizeText(heads.keyValue)} key-value heads`,
      )
    }
  } else if (!larger || !after.every((size) => size % subBlock === 0)) {
    throw invalid(`it is neither ${sizeText(from)} nor a larger multiple of ${subBlock}`)
  }
}
