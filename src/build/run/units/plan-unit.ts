import { createHash } from 'node:crypto'
import { join } from 'node:path'
import * as v from 'valibot'
import { ggmlTypes } from '../../../../formats/ggml/types.js'
import { rangesOf } from '../../../collections/index.js'
import { checkPlanMemory, formOf, madeForm, makePlan, type PlanningOptions, writePlan } from '../../../plan/index.js'
import type { WithProgress } from '../../../progress/index.js'
import { parameterCount } from '../../../recipe/index.js'
import { budgetGoals } from '../../file/output-fields.js'
import type { Json } from '../../graph/step.js'
import type { UnitPart, UnitResult, UnitTask } from '../executor.js'
import type { InProcessOptions } from '../in-process.js'
import { keptMeasure, measureInto, readMeasured } from '../kept-measure.js'
import type { Hand, PartSizes } from '../split.js'
import { blueprintOf, openInputs } from './model-inputs.js'
import { readPlanRequest } from './plan-request.js'

const planName = 'plan.json'
/** What measureInto writes. */
const errorsName = 'errors.jsonl'
/** Tensors that are measured by one unit: seconds to a minute of work. */
export const partTensors = 16
/** Weights of a model that is measured in parts, at least: of a smaller one the parts would cost as much as they spare. */
const minWeights = 2 ** 26

type Measure = NonNullable<PlanningOptions['measure']>
type Means = Pick<InProcessOptions, 'threads' | 'memoryBytes' | 'signal' | 'measured' | 'measuredBy'>

/** Plans an output; with the errors that its parts have measured, where the unit was split. @throws what makePlan throws. */
export async function* runPlan(
  task: UnitTask,
  { threads, memoryBytes, signal, measured, measuredBy }: Means,
): WithProgress<UnitResult> {
  const { folder, parts = [] } = task
  const { blueprint, request, options } = await askedOf(task)
  await using known = await openInputs(task, blueprint)
  const means = { threads, memoryBytes, signal }
  checkPlanMemory(blueprint, request, { ...known.options, ...means })
  const errors = [measuredKey(task), measuredBy, 'jsonl'].filter((part) => part !== undefined).join('.')
  const files = parts.map(({ path }) => path)
  const measure = keptMeasure(join(measured, errors), undefined, files)
  const made = yield* makePlan(blueprint, request, { ...known.options, ...means, ...options, measure, fromWeights: true })
  const plan = { ...made, notes: [...made.notes, ...known.notes] }
  await writePlan(join(folder, planName), plan, { force: true })
  const { goal, bitsPerWeight, dataBytes, notes } = plan
  return { files: [planName], result: { goal, bitsPerWeight, dataBytes, notes } }
}

async function askedOf(task: UnitTask) {
  const { unit, inputs } = task
  const files = { mixture: inputs['mixture']?.path, plan: inputs['plan']?.path }
  return { blueprint: await blueprintOf(task), ...(await readPlanRequest(unit.options['request'], files)) }
}

const sizes = v.union([v.number(), v.array(v.number())])
const typeName = v.picklist(ggmlTypes.map(({ name }) => name))
const partOptions = v.object({
  form: v.object({ widths: v.record(v.string(), sizes), isSmoothed: v.boolean(), usesCovariances: v.boolean() }),
  requests: v.array(v.tuple([v.string(), v.array(typeName)])),
})

/** Measures quantization errors of some tensors in the types that a plan asks about. @throws what measure throws. */
export async function* runPlanPart(task: UnitTask, { threads, memoryBytes, signal }: Means): WithProgress<UnitResult> {
  const { form, requests: listed } = v.parse(partOptions, task.unit.options)
  const base = await blueprintOf(task)
  await using known = await openInputs(task, base)
  const requests = listed.map(([tensor, types]) => ({ tensor, types }))
  const means = { threads, memoryBytes, signal }
  yield* measureInto(join(task.folder, errorsName), { ...madeForm(base, known.options, form), requests, ...means })
  return { files: [errorsName], result: null }
}

/**
 * Has the errors measured that the plan of a budget asks about, in groups of tensors: types are chosen here to know which, for one form of
 * the model after the other; the unit then does the rest.
 */
export async function* dividePlan(task: UnitTask, { partTensors: asked }: PartSizes, hand: Hand): ReturnType<Hand> {
  const request = task.unit.options['request'] as Readonly<Record<string, Json>>
  if (budgetGoals.every((goal) => request[goal] === undefined)) return []
  const { blueprint, request: budget, options } = await askedOf(task)
  if (asked === undefined && parameterCount(blueprint.tensors) < minWeights) return []
  const most = asked ?? partTensors
  await using known = await openInputs(task, blueprint)
  const parts: UnitPart[] = []
  const measure: Measure = async function* (wanted) {
    const form = { ...formOf(blueprint, wanted) } as unknown as Json
    const first = parts.length
    const made = yield* hand(
      rangesOf(wanted.requests.length, most).map((range, index) => ({
        kind: 'plan-part' as const,
        first: first + index,
        end: first + index + 1,
        options: {
          form,
          requests: wanted.requests.slice(range.first, range.end).map(({ tensor, types }) => [tensor, [...types]]),
        },
      })),
    )
    parts.push(...made)
    return readMeasured(
      made.map(({ path }) => path),
      wanted,
    )
  }
  yield* makePlan(blueprint, budget, { ...known.options, ...options, measure, fromWeights: true, typesAlone: true })
  return parts
}

/** What quantization errors depend on beside a tensor's own form. */
function measuredKey({ unit: { version, options, inputs } }: UnitTask): string {
  const adapters = Object.entries(inputs).filter(([role]) => /^(?:model|calibration|lora\d+)$/.test(role))
  const words = JSON.stringify([version, options['scales'], options['use'], adapters.toSorted(([a], [b]) => (a < b ? -1 : 1))])
  return createHash('sha256').update(words).digest('hex').slice(0, 24)
}
