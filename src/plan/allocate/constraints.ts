import { findGgmlType, type GgmlTypeName, ggmlTypes } from '../../../formats/ggml/types.js'
import { groupBy } from '../../collections/index.js'
import { MqError } from '../../errors/index.js'
import { type Blueprint, type TensorRole, tensorRoles } from '../../model/index.js'
import { isFloatType, quantizedCandidates, type Writable } from './candidates.js'
import { unknownType } from './tensor-types.js'

/** Constraints of the user on the types that a budget chooses. */
export interface Constraints {
  /** Role -> lowest type. */
  readonly floors: Partial<Record<TensorRole, GgmlTypeName>>
  /** Names of tensors that get one type together. */
  readonly ties: readonly (readonly string[])[]
  /** Candidate types besides `quantizedCandidates`. */
  readonly candidates: readonly GgmlTypeName[]
}

/** Names for several roles at once. */
export const roleGroups: Readonly<Record<string, (role: TensorRole) => boolean>> = {
  attention: (role) => role.startsWith('attention-'),
  dense: (role) => role.startsWith('ffn-'),
  shared: (role) => role.startsWith('shared-expert-'),
  experts: (role) => role.startsWith('expert-'),
}

/** Parts that dense layers, shared experts and routed experts have in common. */
const parts = ['gate', 'up', 'down'] as const
const families = ['ffn', 'shared-expert', 'expert'] as const

/** The same as text, as the user writes them. */
interface Bounds {
  readonly floors?: readonly string[]
  readonly ties?: readonly string[]
  readonly candidates?: readonly string[]
}

/**
 * Reads floors, `ROLE=TYPE`, ties, `ROLE,ROLE`, and names of further types.
 * @throws MqError OPTION_INVALID, saying what there is, where a role or type is unknown or the model has no such tensor.
 */
export function readConstraints(
  blueprint: Blueprint,
  { floors = [], ties = [], candidates = [] }: Bounds,
  writable: Writable,
): Constraints {
  const open = blueprint.tensors.filter(({ keepF32 }) => !keepF32)
  const present = [...new Set(open.map(({ role }) => role))]
  return {
    floors: Object.assign({}, ...floors.map((spec) => readFloor(spec, present, writable))),
    ties: merge(ties.flatMap((spec) => readTie(spec, present)).flatMap((roles) => byLayer(blueprint, roles))),
    candidates: candidates.map((name) => readCandidate(name, writable)),
  }
}

function readCandidate(name: string, writable: Writable): GgmlTypeName {
  const types = ggmlTypes.map((type) => type.name).filter((type) => !isFloatType(type) && writable(type))
  const found = findGgmlType(name)?.name
  if (found !== undefined && types.includes(found)) return found
  const further = types.filter((type) => !quantizedCandidates.includes(type))
  const problem = `there is no quantized type ${name || '""'}; besides ${quantizedCandidates.join(', ')} there are ${further.join(', ')}`
  throw optionInvalid('candidates', name, problem)
}

function readFloor(spec: string, present: readonly TensorRole[], writable: Writable): Constraints['floors'] {
  const [name = '', type, ...more] = spec.split('=')
  const invalid = (problem: string): MqError => optionInvalid('floors', spec, problem)
  if (type === undefined || more.length > 0) throw invalid('it is not ROLE=TYPE, such as attention=Q5_K')
  const found = findGgmlType(type)?.name
  if (found === undefined || !(isFloatType(found) || writable(found))) {
    throw invalid(unknownType(type, writable))
  }
  const roles = rolesOf(name, present, invalid)
  return Object.fromEntries(roles.map((role) => [role, found]))
}

/** Sets of roles whose tensors are tied within a layer: for `gate,up` one for each kind of feed-forward network. */
function readTie(spec: string, present: readonly TensorRole[]): TensorRole[][] {
  const names = spec.split(',').map((name) => name.trim())
  const invalid = (problem: string): MqError => optionInvalid('ties', spec, problem)
  if (names.every((name) => (parts as readonly string[]).includes(name))) {
    if (names.length < 2) throw invalid('a tie is between at least two roles')
    return families.map((family) => present.filter((role) => names.some((name) => role === `${family}-${name}`)))
  }
  const roles = [...new Set(names.flatMap((name) => rolesOf(name, present, invalid)))]
  if (roles.length < 2) throw invalid('a tie is between at least two roles')
  return [roles]
}

function rolesOf(name: string, present: readonly TensorRole[], invalid: (problem: string) => MqError): TensorRole[] {
  const member = Object.hasOwn(roleGroups, name) ? roleGroups[name] : undefined
  const known = member !== undefined || (tensorRoles as readonly string[]).includes(name)
  const roles = present.filter(member ?? ((role) => role === name))
  if (roles.length > 0) return roles
  const named = Object.entries(roleGroups).filter(([, has]) => present.some(has))
  const there = [...named.map(([group]) => group), ...present].join(', ')
  throw invalid(
    known
      ? `the model has no ${name} to choose a type for; it has ${there}`
      : `there is no role ${name || '""'}; there are ${there}`,
  )
}

function byLayer({ tensors }: Blueprint, roles: readonly TensorRole[]): string[][] {
  const open = tensors.filter(({ role, keepF32 }) => !keepF32 && roles.includes(role))
  const layers = groupBy(open, ({ layer }) => layer)
  return [...layers.values()].map((ofLayer) => ofLayer.map(({ name }) => name)).filter((names) => names.length > 1)
}

/** Ties that share a tensor are one. */
function merge(ties: readonly (readonly string[])[]): string[][] {
  const merged: Set<string>[] = []
  for (const tie of ties) {
    const touched = merged.filter((set) => tie.some((name) => set.has(name)))
    const united = new Set([...touched.flatMap((set) => [...set]), ...tie])
    for (const set of touched) merged.splice(merged.indexOf(set), 1)
    merged.push(united)
  }
  return merged.map((set) => [...set])
}

function optionInvalid(option: string, value: string, problem: string): MqError {
  return MqError.of('OPTION_INVALID', { option, value, problem })
}
