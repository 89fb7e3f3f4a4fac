import type { GgmlTypeName } from '../../formats/ggml/types.js'
import { groupBy } from '../collections/index.js'
import type { Blueprint, TensorRole } from '../model/index.js'
import { modelOfPlan, type Plan, type PlanTensor, plannedBytes } from '../plan/index.js'
import type { QuantizedTensor } from '../quantize/tensor-statistics.js'
import { elementCount } from '../recipe/index.js'
import { type Column, formatBytes, formatCount, formatSeconds, formatTable } from '../terminal/index.js'
import type { QuantizeResult } from './quantize.js'

/** Tensors of one role together. */
export interface RoleSummary {
  readonly role: TensorRole
  readonly tensors: number
  /** How many tensors have which type. */
  readonly types: Readonly<Partial<Record<GgmlTypeName, number>>>
  readonly elements: number
  readonly sizeBytes: number
  readonly bitsPerWeight: number
  /** Mean relative error, weighted by element count, over tensors whose error is known; absent where none is. */
  readonly relativeError?: number
  /** The same for the output error. */
  readonly outputError?: number
}

/** Report of a file that was written, or would be. */
export interface QuantizeReport {
  readonly source: string
  /** The file, or the first of its shards; absent where nothing was written. */
  readonly path?: string
  /** All files, where there are several. */
  readonly files?: readonly string[]
  readonly goal: string
  /** Of the whole file, or of all. */
  readonly sizeBytes: number
  /** Of the tensors alone. */
  readonly dataBytes: number
  readonly bitsPerWeight: number
  readonly roles: readonly RoleSummary[]
  /**
   * Of a finished file: errors (over all weights of a tensor with up to a million, over one row in 16 of a larger one), cosine similarity,
   * maximum error, clipped share, time. Of a plan: types and reasons.
   */
  readonly tensors: readonly (PlanTensor | QuantizedTensor)[]
  readonly notes: readonly string[]
  /** Bytes of tensors that an earlier, interrupted run had written. */
  readonly resumedBytes?: number
  readonly seconds?: number
}

/**
 * Makes the report of a plan and, if it was run, of its result.
 * @param splitMaxBytes where there is no result: for the size of the files to be.
 */
export function reportOf(
  source: string,
  blueprint: Blueprint,
  plan: Plan,
  result?: QuantizeResult,
  splitMaxBytes?: number,
): QuantizeReport {
  const errors = new Map((result?.tensors ?? plan.tensors).map((tensor) => [tensor.name, tensor]))
  return {
    source,
    path: result?.path,
    files: result === undefined || result.files.length === 1 ? undefined : result.files,
    resumedBytes: result?.resumedBytes,
    seconds: result?.seconds,
    goal: plan.goal,
    sizeBytes: result?.sizeBytes ?? plannedBytes(blueprint, plan, splitMaxBytes),
    dataBytes: plan.dataBytes,
    bitsPerWeight: plan.bitsPerWeight,
    roles: summarizeRoles(plan.tensors, errors),
    tensors: result?.tensors ?? plan.tensors,
    notes: [...new Set([...modelOfPlan(blueprint, plan).notes, ...plan.notes, ...(result?.notes ?? [])])],
  }
}

/** The report as lines for the screen. */
export function reportText(report: QuantizeReport): string {
  const { source, path, files, goal, roles, sizeBytes, bitsPerWeight, notes, seconds } = report
  const elements = roles.reduce((sum, role) => sum + role.elements, 0)
  const size = `${formatCount(elements)} weights, ${formatBytes(sizeBytes)}, ${bitsPerWeight.toFixed(3)} bits per weight`
  return [
    `${source} -> ${path ?? `(nothing written: ${goal})`}${files === undefined ? '' : `, the first of ${files.length} files`}`,
    '',
    roleTable(roles),
    '',
    ...notes.map((note) => `Note: ${note}`),
    seconds === undefined ? `${size}.` : `${size}, in ${formatSeconds(seconds)}.`,
  ].join('\n')
}

interface KnownErrors {
  readonly relativeError?: number
  readonly outputError?: number
}

function summarizeRoles(tensors: readonly PlanTensor[], errors: ReadonlyMap<string, KnownErrors>): RoleSummary[] {
  return [...groupBy(tensors, ({ role }) => role)].map(([role, members]) => summarize(role, members, errors))
}

function summarize(role: TensorRole, members: readonly PlanTensor[], errors: ReadonlyMap<string, KnownErrors>): RoleSummary {
  const types: Partial<Record<GgmlTypeName, number>> = {}
  let elements = 0
  let sizeBytes = 0
  const relative = newMean()
  const output = newMean()
  for (const { name, shape, modelElements: count = elementCount(shape), type, sizeBytes: bytes } of members) {
    const { relativeError, outputError } = errors.get(name) ?? {}
    types[type] = (types[type] ?? 0) + 1
    elements += count
    sizeBytes += bytes
    relative.add(relativeError, count)
    output.add(outputError, count)
  }
  return {
    role,
    tensors: members.length,
    types,
    elements,
    sizeBytes,
    bitsPerWeight: (8 * sizeBytes) / elements,
    relativeError: relative.value,
    outputError: output.value,
  }
}

/** A weighted mean over known values. */
function newMean(): { readonly value: number | undefined; add(value: number | undefined, weight: number): void } {
  let sum = 0
  let weights = 0
  return {
    get value() {
      return weights === 0 ? undefined : sum / weights
    },
    add(value, weight) {
      if (value === undefined) return
      sum += value * weight
      weights += weight
    },
  }
}

const columns: readonly Column[] = [
  { title: 'role' },
  { title: 'tensors', align: 'right' },
  { title: 'types' },
  { title: 'size', align: 'right' },
  { title: 'bits', align: 'right' },
  { title: 'relative error', align: 'right' },
]
const outputColumn: Column = { title: 'output error', align: 'right' }

function roleTable(roles: readonly RoleSummary[]): string {
  const outputs = roles.some(({ outputError }) => outputError !== undefined)
  const rows = roles
    .toSorted((a, b) => b.sizeBytes - a.sizeBytes)
    .map(({ role, tensors, types, sizeBytes, bitsPerWeight, relativeError, outputError }) => [
      role,
      String(tensors),
      typesText(types),
      formatBytes(sizeBytes),
      bitsPerWeight.toFixed(2),
      relativeError === undefined ? '' : errorText(relativeError),
      ...(outputs ? [outputError === undefined ? '' : errorText(outputError)] : []),
    ])
  return formatTable(outputs ? [...columns, outputColumn] : columns, rows)
}

/** `Q6_K`, or `Q4_K 21, Q6_K 3` where there are several. */
function typesText(types: RoleSummary['types']): string {
  const entries = Object.entries(types).sort(([, a], [, b]) => b - a)
  return entries.length === 1 ? (entries[0]?.[0] ?? '') : entries.map(([type, count]) => `${type} ${count}`).join(', ')
}

function errorText(error: number): string {
  if (error === 0) return '0'
  if (error < 1e-9) return '<1e-9'
  return error < 1e-4 ? error.toExponential(1) : error.toPrecision(2)
}
