import type { Blueprint } from '../../model/index.js'
import { type DryRun, dryRun, makePlan, type Plan, planUniform, typicalMeasure } from '../../plan/index.js'
import { finish } from '../../progress/index.js'
import { elementCount } from '../../recipe/index.js'
import { readSize } from '../../terminal/index.js'
import type { ModelSpec } from '../file/build-spec.js'
import { budgetGoals } from '../file/output-fields.js'
import type { Given, Graph, Json, Step, StepInput } from '../graph/step.js'
import { readPlanRequest } from '../run/units/plan-request.js'

/** What a step takes, as far as headers tell. */
export interface StepEstimate {
  /** Bytes on the disk, of its result. */
  readonly sizeBytes: number
  /** Memory while it runs. */
  readonly memoryBytes: number
  /** Seconds: between these two. */
  readonly seconds: { readonly low: number; readonly high: number }
}

/** Multiplications and additions in a second that a thread does on weights of 16 bits: a slow processor, and a fast one. */
const speeds = { slow: 4e9, fast: 40e9 } as const
/** Weights in a second and thread that are tried in one type while errors are measured. */
const measuring = { slow: 0.5e6, fast: 10e6 } as const
/** Types that a budget tries for a tensor, and the weights of it that are sampled at most. */
const [triedTypes, sampledWeights] = [17, 2 ** 18] as const
/** Error feedback takes up to so many times as long as rounding to nearest. */
const feedbackFactor = 4
/** Collecting covariances takes up to so many times as long as running the model. */
const covarianceFactor = 3
const quantizeMemory = 600e6
const bytesPerToken = 4
const defaultContext = 512

/** Estimates the steps of one model. */
export function estimator(
  blueprint: Blueprint,
  { calibration, test }: Pick<ModelSpec, 'calibration' | 'test'>,
  givens: Graph['givens'],
  means: { readonly threads: number; readonly memoryBytes?: number },
): (step: Step) => Promise<StepEstimate> {
  const { threads, memoryBytes = quantizeMemory } = means
  const whole = planUniform(blueprint, blueprint.sourceType)
  const plans = new Map<string, Promise<Plan>>()
  /** Running the model over a text. */
  const running = (bytes: number, asked: { readonly chunks?: number; readonly context?: number } | undefined) => {
    const { context = defaultContext, chunks = Number.POSITIVE_INFINITY } = asked ?? {}
    const used = Math.max(1, Math.min(chunks, Math.floor(bytes / bytesPerToken / context)))
    const operations = 2 * activeWeights(blueprint) * used * context
    return {
      context,
      chunks: used,
      seconds: { low: operations / threads / speeds.fast, high: operations / threads / speeds.slow },
    }
  }
  // Each times kernels: one for a plan is enough.
  const runs = new Map<Plan, Promise<DryRun>>()
  const dryRunOf = (plan: Plan): Promise<DryRun> => {
    const context = test?.context ?? calibration?.context ?? defaultContext
    const known = runs.get(plan) ?? dryRun(blueprint, plan, { run: { context }, threads })
    runs.set(plan, known)
    return known
  }
  const memoryOf = async (plan: Plan): Promise<number> => {
    const { memory, fileBytes } = await dryRunOf(plan)
    return memory.find(({ name }) => name === 'plan')?.totalBytes ?? fileBytes
  }
  const planOf = (step: Step): Promise<Plan> => {
    const key = step.output ?? ''
    const known = plans.get(key) ?? planFromHeaders(blueprint, step, givens)
    plans.set(key, known)
    return known
  }
  const textBytes = ({ inputs }: Step): number => givenOf(inputs['text'], givens)?.files[0]?.sizeBytes ?? 0
  const mostCalibration = readSize(calibration?.memory ?? '1GiB') as number

  return async (step) => {
    switch (step.kind) {
      case 'convert': {
        const { fileBytes, duration } = await dryRunOf(whole)
        return { sizeBytes: fileBytes, memoryBytes, seconds: duration }
      }
      case 'calibrate': {
        const { seconds } = running(textBytes(step), calibration)
        const sizeBytes = calibrationBytes(blueprint, calibration?.rank, mostCalibration)
        const high = seconds.high * (calibration?.rank === 0 ? 1 : covarianceFactor)
        return { sizeBytes, memoryBytes: sizeBytes + (await memoryOf(whole)), seconds: { ...seconds, high } }
      }
      case 'merge': {
        const sizeBytes = calibrationBytes(blueprint, calibration?.rank, mostCalibration)
        return { sizeBytes, memoryBytes: 2 * sizeBytes, seconds: { low: sizeBytes / 1e9, high: sizeBytes / 1e7 } }
      }
      case 'plan': {
        const { tensors } = await planOf(step)
        const request = step.options['request'] as Readonly<Record<string, Json>>
        const isBudget = budgetGoals.some((goal) => request[goal] !== undefined)
        const sampled = tensors.reduce((sum, { shape }) => sum + Math.min(sampledWeights, elementCount(shape)), 0)
        const tried = isBudget ? sampled * triedTypes : 0
        const seconds = { low: tried / threads / measuring.fast, high: 1 + tried / threads / measuring.slow }
        return { sizeBytes: 300 * tensors.length, memoryBytes, seconds }
      }
      case 'quantize': {
        const { fileBytes, duration } = await dryRunOf(await planOf(step))
        const high = duration.high * (step.options['use'] === 'full' ? feedbackFactor : 1)
        return { sizeBytes: fileBytes, memoryBytes, seconds: { low: duration.low, high } }
      }
      case 'reference': {
        const { context, chunks, seconds } = running(textBytes(step), test)
        const sizeBytes = chunks * (context - 1 - Math.floor(context / 2)) * 2 * (vocabulary(blueprint) + 4)
        return { sizeBytes, memoryBytes: await memoryOf(whole), seconds }
      }
      case 'measure': {
        const { context, seconds } = running(textBytes(step), test)
        // Some tens of kilobytes, most of them figures by position.
        return { sizeBytes: 40_000 + 100 * context, memoryBytes: await memoryOf(await planOf(step)), seconds }
      }
    }
  }
}

/** What a step takes from outside; undefined for what another step makes, and for what it does not take. */
function givenOf(input: StepInput | undefined, givens: Graph['givens']): Given | undefined {
  return input !== undefined && 'given' in input ? givens.get(input.given) : undefined
}

/** The plan with typical errors in place of measured ones. @throws MqError BUDGET_IMPOSSIBLE and the like, before anything runs. */
async function planFromHeaders(blueprint: Blueprint, step: Step, givens: Graph['givens']): Promise<Plan> {
  const { plan, mixture } = step.inputs
  const files = { plan: givenOf(plan, givens)?.path, mixture: givenOf(mixture, givens)?.path }
  const { request, options } = await readPlanRequest(step.options['request'], files)
  // What needs a calibration is left out: there may be none yet.
  const { calibrate: _, smooth: __, ...rest } = options
  return finish(makePlan(blueprint, request, { ...rest, measure: typicalMeasure }))
}

/** Weights that a token meets. */
function activeWeights({ tensors, metadata, architecture }: Blueprint): number {
  const number = (key: string): number | undefined => {
    const value = metadata.get(`${architecture}.${key}`)?.value
    return typeof value === 'number' ? value : undefined
  }
  const share = (number('expert_used_count') ?? 1) / (number('expert_count') ?? 1)
  return tensors.reduce((sum, { role, shape }) => {
    if (role === 'embedding') return sum
    return sum + elementCount(shape) * (role.startsWith('expert-') && share > 0 && share <= 1 ? share : 1)
  }, 0)
}

/** Importance and covariances of all inputs: whole up to 1024 columns, of rank 64 above. */
function calibrationBytes({ tensors }: Blueprint, rank: number | undefined, most: number): number {
  const inputs = new Map<string, number>()
  let importance = 0
  for (const { name, layer, role, shape } of tensors) {
    const columns = shape.at(-1) ?? 0
    if (shape.length < 2 || role === 'embedding') continue
    importance += 4 * columns * (shape.length > 2 ? (shape[0] ?? 1) : 1)
    // Matrices of one layer that are as wide mostly read the same input.
    inputs.set(`${layer ?? name} ${columns} ${/expert-down/.test(role) ? role : ''}`, columns)
  }
  const covariance = [...inputs.values()].reduce((sum, columns) => {
    if (rank === 0) return sum
    return sum + 4 * (rank === undefined && columns <= 1024 ? (columns * (columns + 1)) / 2 : columns * (rank ?? 64))
  }, 0)
  return importance + Math.min(most, covariance)
}

function vocabulary({ tensors }: Blueprint): number {
  return tensors.find(({ role }) => role === 'embedding')?.shape[0] ?? 0
}
