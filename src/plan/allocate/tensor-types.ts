import { type BoundedPattern, boundedPattern, PatternTooSlow } from '../../../formats/bounded-pattern.js'
import { findGgmlType, fitsRow, type GgmlTypeName, ggmlTypes } from '../../../formats/ggml/types.js'
import { MqError } from '../../errors/index.js'
import type { Blueprint, BlueprintTensor } from '../../model/index.js'
import { rowLength } from '../../recipe/index.js'
import { isFloatType, type Writable } from './candidates.js'

/** A type that the user sets for every tensor whose name the regular expression matches. */
export interface TensorTypeOverride {
  readonly pattern: BoundedPattern
  readonly type: GgmlTypeName
  /** As it was written, for messages. */
  readonly spec: string
}

/** ggml types that are not used for weights. */
const notForWeights = new Set<GgmlTypeName>(['Q8_1', 'I8', 'I16', 'I32', 'I64', 'F64'])

/** A type of weights by its name, in any case; undefined where there is none. */
export function weightType(name: string): GgmlTypeName | undefined {
  const type = findGgmlType(name)?.name
  return type === undefined || notForWeights.has(type) ? undefined : type
}

/** What is wrong with a name that is no type for weights, with all that are. */
export function unknownType(name: string, writable: Writable = () => true): string {
  const known = ggmlTypes.filter(({ name }) => !notForWeights.has(name) && (isFloatType(name) || writable(name)))
  return `there is no type ${name || '""'} for weights; there are ${known.map(({ name }) => name).join(', ')}`
}

/**
 * Reads `REGEX=TYPE`, such as `ffn_down=Q6_K` or `blk\.[0-3]\..*_exps=Q3_K`.
 * @throws MqError OPTION_INVALID.
 */
export function parseTensorTypes(specs: readonly string[]): TensorTypeOverride[] {
  return specs.map((spec) => {
    const cut = spec.lastIndexOf('=')
    if (cut <= 0) throw invalid(spec, 'it is not REGEX=TYPE')
    const type = weightType(spec.slice(cut + 1))
    if (type === undefined) throw invalid(spec, unknownType(spec.slice(cut + 1)))
    return { pattern: compile(spec, spec.slice(0, cut)), type, spec }
  })
}

function compile(spec: string, source: string): BoundedPattern {
  try {
    return boundedPattern(source)
  } catch (error) {
    throw invalid(
      spec,
      (error as Error).message.replace(/^Invalid regular expression: /, 'the regular expression is wrong: '),
      error,
    )
  }
}

/**
 * The override of each tensor, by name: the first that matches, as in llama-quantize. Tensors that are always F32 are left out.
 * @throws MqError OPTION_INVALID for an override that no tensor takes, or whose type no kernel writes.
 */
export function matchTensorTypes(
  { tensors }: Blueprint,
  overrides: readonly TensorTypeOverride[],
  writable: Writable,
): ReadonlyMap<string, TensorTypeOverride> {
  for (const { pattern, type, spec } of overrides) {
    if (!isFloatType(type) && !writable(type)) throw invalid(spec, `${type} cannot be written yet`)
    const names = matchingNames(pattern, tensors, spec)
    const matched = tensors.filter(({ name }) => names.has(name))
    if (matched.length === 0) throw invalid(spec, 'no tensor has such a name')
    if (matched.every(({ keepF32 }) => keepF32))
      throw invalid(spec, `it names only tensors that stay F32, such as ${matched[0]?.name}`)
  }
  const found = new Map<string, TensorTypeOverride>()
  const open = tensors.filter(({ keepF32 }) => !keepF32)
  for (const override of overrides) {
    for (const name of matchingNames(override.pattern, open, override.spec)) if (!found.has(name)) found.set(name, override)
  }
  return found
}

function matchingNames(pattern: BoundedPattern, tensors: Blueprint['tensors'], spec: string): ReadonlySet<string> {
  try {
    return pattern.matching(tensors.map(({ name }) => name))
  } catch (error) {
    if (error instanceof PatternTooSlow) throw invalid(spec, error.message, error)
    throw error
  }
}

/** The part of a goal that has the types set by name; empty where there are none. */
export function specsOf(overrides: readonly TensorTypeOverride[]): { readonly tensorTypes?: readonly string[] } {
  return overrides.length === 0 ? {} : { tensorTypes: overrides.map(({ spec }) => spec) }
}

/** llama-quantize's fallback types for rows that are not whole blocks of a type; F16 where the fallback does not fit either. */
const fallbacks: Partial<Record<GgmlTypeName, GgmlTypeName>> = {
  IQ1_S: 'IQ4_NL',
  IQ1_M: 'IQ4_NL',
  IQ2_XXS: 'IQ4_NL',
  IQ2_XS: 'IQ4_NL',
  IQ2_S: 'IQ4_NL',
  IQ3_XXS: 'IQ4_NL',
  IQ3_S: 'IQ4_NL',
  IQ4_XS: 'IQ4_NL',
  Q1_0: 'Q4_0',
  Q2_0: 'Q4_0',
  Q2_K: 'Q4_0',
  Q3_K: 'Q4_0',
  TQ1_0: 'Q4_0',
  TQ2_0: 'Q4_0',
  Q4_K: 'Q5_0',
  Q5_K: 'Q5_1',
  Q6_K: 'Q8_0',
}

/** The type itself where the tensor's rows are whole blocks of it, else its fallback. */
export function typeOrFallback(type: GgmlTypeName, tensor: BlueprintTensor): GgmlTypeName {
  const length = rowLength(tensor)
  if (fitsRow(type, length)) return type
  const fallback = fallbacks[type] ?? 'F16'
  return fitsRow(fallback, length) ? fallback : 'F16'
}

function invalid(spec: string, problem: string, cause?: unknown): MqError {
  return MqError.of('OPTION_INVALID', { option: 'tensorTypes', value: spec, problem }, { cause })
}
