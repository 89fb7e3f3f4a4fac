import { basename } from 'node:path'
import * as v from 'valibot'
import { cacheTypes } from '../../../footprint/index.js'
import { type PlanRequest, readMixture, readPlan } from '../../../plan/index.js'
import { readSize } from '../../../terminal/index.js'

const specs = v.optional(v.array(v.string()))

/** What of an output its plan depends on: see requestOf in make-graph.ts. */
const requestOptions = v.strictObject({
  bits: v.optional(v.number()),
  size: v.optional(v.string()),
  fit: v.optional(v.string()),
  preset: v.optional(v.string()),
  type: v.optional(v.string()),
  mixture: v.optional(v.string()),
  plan: v.optional(v.literal(true)),
  context: v.optional(v.number()),
  'cache-type': v.optional(v.string()),
  floors: specs,
  ties: specs,
  candidates: specs,
  'tensor-types': specs,
  sensitivity: v.optional(v.picklist(['none', 'fast'])),
  damping: v.optional(v.number()),
  smooth: v.optional(v.boolean()),
  widen: v.optional(v.picklist(['auto', 'none', 'always'])),
  shards: v.optional(v.number()),
})

const defaultContext = 8192

/** The request of a plan, and the options of planning beside it. */
export interface AskedPlan {
  readonly request: PlanRequest
  readonly options: {
    readonly calibrate?: 'none' | 'fast'
    readonly damping?: number
    readonly smooth?: boolean
    readonly widen?: 'auto' | 'none' | 'always'
  }
}

/**
 * Reads what a unit asks of a plan.
 * @param files of mixtures and plans that stand in files.
 * @throws MqError MIXTURE_INVALID, PLAN_INVALID and the like.
 */
export async function readPlanRequest(
  given: unknown,
  files: { readonly mixture?: string | undefined; readonly plan?: string | undefined },
): Promise<AskedPlan> {
  const asked = v.parse(requestOptions, given)
  const { sensitivity, damping, smooth, widen } = asked
  return {
    request: await requestOf(asked, files),
    options: { calibrate: sensitivity, damping, smooth, widen },
  }
}

async function requestOf(
  asked: v.InferOutput<typeof requestOptions>,
  files: { readonly mixture?: string | undefined; readonly plan?: string | undefined },
): Promise<PlanRequest> {
  const {
    bits,
    size,
    fit,
    preset,
    type,
    mixture,
    floors,
    ties,
    candidates,
    'tensor-types': tensorTypes,
    context = defaultContext,
    shards: splitMaxBytes,
  } = asked
  const bounds = { tensorTypes, floors, ties, candidates }
  if (bits !== undefined) return { kind: 'bits', bits, ...bounds }
  if (size !== undefined) return { kind: 'size', size: { bytes: readSize(size) as number, text: size }, splitMaxBytes, ...bounds }
  if (fit !== undefined) {
    const cacheType = cacheTypes.find((name) => name.toLowerCase() === asked['cache-type']) ?? 'F16'
    return { kind: 'fit', memory: { bytes: readSize(fit) as number, text: fit }, run: { context, cacheType }, ...bounds }
  }
  if (preset !== undefined) return { kind: 'preset', preset, tensorTypes }
  if (type !== undefined) return { kind: 'type', type, tensorTypes }
  if (mixture !== undefined) {
    const read = await readMixture(files.mixture ?? mixture)
    return { kind: 'mixture', mixture: { ...read, name: basename(mixture) }, tensorTypes }
  }
  return { kind: 'plan', plan: await readPlan(files.plan ?? '') }
}
