import { type GgmlTypeName, ggmlBytes, ggmlType } from '../../../formats/ggml/types.js'
import { groupBy } from '../../collections/index.js'
import type { Blueprint, BlueprintTensor, TensorRole } from '../../model/index.js'
import { elementCount } from '../../recipe/index.js'
import { type Assignment, fixedType } from './assignment.js'
import { candidatesFor, type Writable } from './candidates.js'
import { type RuleOf, rulesOf } from './role-rules.js'
import { matchTensorTypes, type TensorTypeOverride } from './tensor-types.js'

/** Constraints on the types that a budget may choose. */
export interface GroupOptions {
  readonly overrides?: readonly TensorTypeOverride[]
  /** Lowest types of roles, instead of those of the role table. */
  readonly floors?: Partial<Record<TensorRole, GgmlTypeName>>
  /** Names of tensors that get the same type; tensors with an override are left out. No tensor is in two ties. */
  readonly ties?: readonly (readonly string[])[]
  readonly writable: Writable
  /** Candidate types besides `quantizedCandidates`. */
  readonly candidates?: readonly GgmlTypeName[]
  /** Tensor sizes are rounded up to a multiple of this, in bytes, as in a file; by default they are not. */
  readonly alignment?: number
}

/** Tensors that get the same type (one tensor unless tied), and their candidate types, from few bits per weight to many. */
export interface TensorGroup {
  readonly tensors: readonly BlueprintTensor[]
  readonly types: readonly GgmlTypeName[]
}

/** The tensors of a blueprint: those whose type is fixed, and groups that a budget chooses a type for. */
export interface TensorGroups {
  readonly fixed: ReadonlyMap<string, Assignment>
  readonly groups: readonly TensorGroup[]
  readonly fixedBytes: number
  /** Bytes of all tensors with the smallest candidate of every group. */
  readonly minBytes: number
}

/**
 * Separates tensors with a fixed type (F32, or set by name) from those that a budget chooses types for, and groups the latter by ties.
 * @throws MqError OPTION_INVALID for an override that no tensor takes, or whose type no kernel writes.
 */
export function groupTensors(blueprint: Blueprint, options: GroupOptions): TensorGroups {
  const { overrides = [], ties = [], writable, alignment } = options
  const matches = matchTensorTypes(blueprint, overrides, writable)
  const fixed = new Map<string, Assignment>()
  const free: BlueprintTensor[] = []
  for (const tensor of blueprint.tensors) {
    const assignment = fixedType(tensor, matches)
    if (assignment === undefined) free.push(tensor)
    else fixed.set(tensor.name, assignment)
  }
  const ruleOf = rulesOf(blueprint)
  const typesOf = (tensor: BlueprintTensor): GgmlTypeName[] => allowedTypes(tensor, blueprint, ruleOf, options)
  const groups = groupTied(free, ties).flatMap((tensors): TensorGroup[] => {
    const types = tensors.map(typesOf)
    const common = (types[0] ?? []).filter((type) => types.every((others) => others.includes(type)))
    // Tensors that the source has quantized in types of different sizes may have no candidate in common.
    return common.length > 0
      ? [{ tensors, types: common }]
      : tensors.map((tensor) => ({ tensors: [tensor], types: typesOf(tensor) }))
  })
  const fixedTensors = blueprint.tensors.filter(({ name }) => fixed.has(name))
  const fixedBytes = fixedTensors.reduce((bytes, tensor) => {
    return bytes + storedBytes(tensor, fixed.get(tensor.name)?.type as GgmlTypeName, alignment)
  }, 0)
  const minBytes = groups.reduce((bytes, { tensors, types }) => {
    return bytes + Math.min(...types.map((type) => groupBytes(tensors, type, alignment)))
  }, fixedBytes)
  return { fixed, groups, fixedBytes, minBytes }
}

/** Bytes of tensors in one type, each rounded up to the alignment. */
export function groupBytes(tensors: readonly BlueprintTensor[], type: GgmlTypeName, alignment?: number): number {
  return tensors.reduce((bytes, tensor) => bytes + storedBytes(tensor, type, alignment), 0)
}

function storedBytes({ shape }: BlueprintTensor, type: GgmlTypeName, alignment = 1): number {
  return Math.ceil(ggmlBytes(type, elementCount(shape)) / alignment) * alignment
}

/** Groups of tied tensors, in the order of the first tensor of each. */
function groupTied(tensors: readonly BlueprintTensor[], ties: GroupOptions['ties'] = []): BlueprintTensor[][] {
  const tieOf = new Map<string, unknown>(ties.flatMap((names) => names.map((name) => [name, names] as const)))
  return [...groupBy(tensors, (tensor) => tieOf.get(tensor.name) ?? tensor).values()]
}

/** Candidate types, from few bits to many; below the floor only where no other type fits the rows or the source has fewer bits. */
function allowedTypes(
  tensor: BlueprintTensor,
  blueprint: Blueprint,
  ruleOf: RuleOf,
  { writable, candidates, floors }: GroupOptions,
): GgmlTypeName[] {
  const floor = ggmlType(floors?.[tensor.role] ?? ruleOf(tensor).floor).bitsPerWeight
  return candidatesFor(tensor, blueprint, { writable, candidates, floor })
}
