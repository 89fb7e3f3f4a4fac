import { type GgmlTypeName, ggmlBytes, ggmlType } from '../../../formats/ggml/types.js'
import { groupBy } from '../../collections/index.js'
import type { Blueprint, BlueprintTensor, TensorRole } from '../../model/index.js'
import { elementCount } from '../../recipe/index.js'
import { candidatesFor, type Writable } from './candidates.js'
import { rulesOf, type Weigh } from './role-rules.js'
import { type Assignment, settledType } from './settled.js'
import { matchTensorTypes, type TensorTypeOverride } from './tensor-types.js'

/** What the user and the formats leave open. */
export interface OpenOptions {
  readonly overrides?: readonly TensorTypeOverride[]
  /** The least types of roles, instead of those of the role table. */
  readonly floors?: Partial<Record<TensorRole, GgmlTypeName>>
  /** Names of tensors that get one type together; what an override sets is left out of them. No tensor is in two. */
  readonly ties?: readonly (readonly string[])[]
  readonly writable: Writable
  /** Types that may be chosen beyond the usual ones. */
  readonly candidates?: readonly GgmlTypeName[]
  /** Each tensor takes a multiple of so many bytes, as in a file; by default its bytes alone count. */
  readonly alignment?: number
}

/** Tensors that get one type, mostly one alone, and the types that they can get, the least first. */
export interface OpenGroup {
  readonly tensors: readonly BlueprintTensor[]
  readonly types: readonly GgmlTypeName[]
}

/** What is settled before anything is measured, and what is not. */
export interface OpenTensors {
  readonly settled: ReadonlyMap<string, Assignment>
  readonly groups: readonly OpenGroup[]
  readonly settledBytes: number
  /** Of the whole, with the least types. */
  readonly leastBytes: number
}

/**
 * Sorts a blueprint's tensors into those whose types are given and those whose types a budget may choose.
 * @throws MqError OPTION_INVALID for an override that no tensor takes, or whose type no kernel writes.
 */
export function openTensors(blueprint: Blueprint, options: OpenOptions): OpenTensors {
  const { overrides = [], ties = [], writable, alignment } = options
  const matches = matchTensorTypes(blueprint, overrides, writable)
  const settled = new Map<string, Assignment>()
  const open: BlueprintTensor[] = []
  for (const tensor of blueprint.tensors) {
    const assignment = settledType(tensor, matches)
    if (assignment === undefined) open.push(tensor)
    else settled.set(tensor.name, assignment)
  }
  const ruleOf = rulesOf(blueprint)
  const typesOf = (tensor: BlueprintTensor): GgmlTypeName[] => allowedTypes(tensor, blueprint, ruleOf, options)
  const groups = tieTogether(open, ties).flatMap((tensors): OpenGroup[] => {
    const types = tensors.map(typesOf)
    const common = (types[0] ?? []).filter((type) => types.every((others) => others.includes(type)))
    // What is quantized already in types of different sizes may have none in common.
    return common.length > 0
      ? [{ tensors, types: common }]
      : tensors.map((tensor) => ({ tensors: [tensor], types: typesOf(tensor) }))
  })
  const settledTensors = blueprint.tensors.filter(({ name }) => settled.has(name))
  const settledBytes = settledTensors.reduce((bytes, tensor) => {
    return bytes + storedBytes(tensor, settled.get(tensor.name)?.type as GgmlTypeName, alignment)
  }, 0)
  const leastBytes = groups.reduce((bytes, { tensors, types }) => {
    return bytes + Math.min(...types.map((type) => groupBytes(tensors, type, alignment)))
  }, settledBytes)
  return { settled, groups, settledBytes, leastBytes }
}

/** Bytes of tensors of one type, each a multiple of the alignment. */
export function groupBytes(tensors: readonly BlueprintTensor[], type: GgmlTypeName, alignment?: number): number {
  return tensors.reduce((bytes, tensor) => bytes + storedBytes(tensor, type, alignment), 0)
}

function storedBytes({ shape }: BlueprintTensor, type: GgmlTypeName, alignment = 1): number {
  return Math.ceil(ggmlBytes(type, elementCount(shape)) / alignment) * alignment
}

/** The tensors in their order, those that are tied at the place of the first. */
function tieTogether(tensors: readonly BlueprintTensor[], ties: OpenOptions['ties'] = []): BlueprintTensor[][] {
  const tieOf = new Map<string, unknown>(ties.flatMap((names) => names.map((name) => [name, names] as const)))
  return [...groupBy(tensors, (tensor) => tieOf.get(tensor.name) ?? tensor).values()]
}

/** Types that may be chosen, the least first; never below the floor, unless nothing else fits the rows or the source has no more. */
function allowedTypes(
  tensor: BlueprintTensor,
  blueprint: Blueprint,
  ruleOf: Weigh,
  { writable, candidates, floors }: OpenOptions,
): GgmlTypeName[] {
  const floor = ggmlType(floors?.[tensor.role] ?? ruleOf(tensor).floor).bitsPerWeight
  return candidatesFor(tensor, blueprint, { writable, candidates, floor })
}
