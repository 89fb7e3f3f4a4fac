import { join } from 'node:path'
import * as v from 'valibot'
import type { Blueprint } from '../../../model/index.js'
import { type Plan, planUniform, readPlan } from '../../../plan/index.js'
import type { WithProgress } from '../../../progress/index.js'
import { type OutputRange, outputRanges, type QuantizeOptions, quantizeRange } from '../../../quantize/index.js'
import type { UnitKind } from '../../graph/step.js'
import type { UnitResult, UnitTask } from '../executor.js'
import { blueprintOf, openInputs } from './model-inputs.js'
import { writeModel } from './write-model.js'

/** The one file of a conversion, and of a part. */
export const ggufName = 'model.gguf'
const partName = 'part.bin'

const quantizeOptions = v.object({
  fileName: v.string(),
  effort: v.picklist(['fast', 'default', 'best']),
  shards: v.optional(v.number()),
})
const partOptions = v.object({ of: v.picklist(['convert', 'quantize']), first: v.number(), end: v.number() })

/** Means of a process. */
type Means = Pick<QuantizeOptions, 'threads' | 'memoryBytes' | 'signal'>

/** Writes a model: a conversion, or a quantized output; from its parts, where the unit was split. @throws what quantize throws. */
export async function* runOutput(task: UnitTask, means: Means): WithProgress<UnitResult> {
  const { blueprint, plan, fileName, options } = await describe(task, task.unit.kind)
  await using known = await inputsOf(task, task.unit.kind, blueprint)
  return yield* writeModel(blueprint, plan, task.folder, fileName, { ...options, ...known.options, ...means }, task.parts)
}

/** Writes one part of a model. @throws what quantize throws. */
export async function* runPart(task: UnitTask, means: Means): WithProgress<UnitResult> {
  const { of, first, end } = v.parse(partOptions, task.unit.options)
  const { blueprint, plan, fileName, options } = await describe(task, of)
  await using known = await inputsOf(task, of, blueprint)
  const whole = { blueprint, plan, output: join(task.folder, fileName), ...options, ...known.options, ...means }
  yield* quantizeRange(whole, { first, end }, join(task.folder, partName))
  return { files: [partName], result: null }
}

/** The parts that a unit can be split into. @throws what reading model and plan throws. */
export async function partsOf(task: UnitTask, partWeights?: number): Promise<OutputRange[]> {
  const { blueprint, plan, options } = await describe(task, task.unit.kind)
  return outputRanges(blueprint, plan, options.splitMaxBytes, partWeights)
}

interface Described {
  readonly blueprint: Blueprint
  readonly plan: Plan
  readonly fileName: string
  readonly options: Pick<QuantizeOptions, 'effort' | 'splitMaxBytes'>
}

async function describe(task: UnitTask, kind: UnitKind): Promise<Described> {
  const blueprint = await blueprintOf(task)
  if (kind === 'convert')
    return { blueprint, plan: planUniform(blueprint, blueprint.sourceType), fileName: ggufName, options: {} }
  const { fileName, effort, shards } = v.parse(quantizeOptions, task.unit.options)
  const plan = await readPlan(task.inputs['plan']?.path ?? '')
  return { blueprint, plan, fileName, options: { effort, splitMaxBytes: shards } }
}

function inputsOf(task: UnitTask, kind: UnitKind, blueprint: Blueprint): ReturnType<typeof openInputs> {
  const nothing = { options: {}, notes: [], [Symbol.asyncDispose]: () => Promise.resolve() }
  return kind === 'convert' ? Promise.resolve(nothing) : openInputs(task, blueprint)
}
