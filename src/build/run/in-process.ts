import { createHash } from 'node:crypto'
import { join } from 'node:path'
import * as v from 'valibot'
import { makeImatrix, mergeMatrices } from '../../calibration/index.js'
import { writeWhole } from '../../files/index.js'
import { checkPlanMemory, makePlan, writePlan } from '../../plan/index.js'
import type { WithProgress } from '../../progress/index.js'
import { asGguf } from '../../quantize/index.js'
import { keepReference, keptReferenceFiles, measureKept, measurementJson } from '../../verify/index.js'
import type { UnitKind } from '../graph/step.js'
import type { UnitExecutor, UnitResult, UnitTask } from './executor.js'
import { keptMeasure } from './kept-measure.js'
import { blueprintOf, openInputs } from './units/model-inputs.js'
import { runOutput, runPart } from './units/output-unit.js'
import { readPlanRequest } from './units/plan-request.js'

/** Means of this process; results do not depend on them. */
export interface InProcessOptions {
  readonly threads?: number
  readonly memoryBytes?: number
  /** Where quantization errors that were measured are kept for other units. */
  readonly measured: string
  /** Who measures, where several processes do at a time: each writes a file of its own. */
  readonly measuredBy?: string
  readonly signal?: AbortSignal
}

/** Runs units in this process, one after another: each uses all threads by itself. */
export function inProcess(options: InProcessOptions): UnitExecutor {
  return {
    capacity: 1,
    run: (task) => units[task.unit.kind](task, options),
  }
}

type RunUnit = (task: UnitTask, options: InProcessOptions) => WithProgress<UnitResult>

const texts = {
  chunks: v.optional(v.number()),
  contextLength: v.optional(v.number()),
}

/** The one file that most units write. */
const calibrationName = 'calibration.gguf'
const planName = 'plan.json'
const measurementName = 'measurement.json'

/** What each kind of unit does. */
const units: Readonly<Record<UnitKind, RunUnit>> = {
  /** A checkpoint as a lossless GGUF, for llama.cpp to run. */
  convert: (task, { threads, memoryBytes, signal }) => runOutput(task, { threads, memoryBytes, signal }),

  /** Importance matrix and input covariances of a model on one text. */
  async *calibrate({ unit, inputs, folder }, { threads, signal }) {
    const schema = v.object({
      ...texts,
      rank: v.optional(v.number()),
      memory: v.optional(v.number()),
      processOutput: v.optional(v.boolean()),
    })
    const { chunks, contextLength, rank, memory, processOutput } = v.parse(schema, unit.options)
    const report = yield* makeImatrix({
      model: inputs['model']?.path ?? '',
      toGguf: asGguf,
      text: inputs['text']?.path ?? '',
      output: join(folder, calibrationName),
      // What a run that was cut off before its record has left.
      force: true,
      chunks,
      contextLength,
      rank,
      covarianceMemory: memory,
      processOutput,
      threads,
      signal,
    })
    return { files: [calibrationName], result: { chunks: report.chunks, tensors: report.tensors } }
  },

  /** The sum of several calibrations. */
  async *merge({ inputs, folder }) {
    const paths = Object.keys(inputs).map((_, index) => inputs[`part${index}`]?.path ?? '')
    yield { stage: 'merge', done: 0, total: paths.length, unit: 'files' }
    const { chunks, tensors } = await mergeMatrices(paths, join(folder, calibrationName), { force: true })
    return { files: [calibrationName], result: { chunks, tensors } }
  },

  async *plan(task, { threads, memoryBytes, signal, measured, measuredBy }) {
    const { unit, inputs, folder } = task
    const blueprint = await blueprintOf(task)
    const { request, options } = await readPlanRequest(unit.options['request'], {
      mixture: inputs['mixture']?.path,
      plan: inputs['plan']?.path,
    })
    await using known = await openInputs(task, blueprint)
    const means = { threads, memoryBytes, signal }
    checkPlanMemory(blueprint, request, { ...known.options, ...means })
    // Without a calibration, planning knows some inputs from the weights, unless it is given a measure of the caller's.
    const errors = [measuredKey(task), measuredBy, 'jsonl'].filter((part) => part !== undefined).join('.')
    const measure = known.options.calibration === undefined ? undefined : keptMeasure(join(measured, errors))
    const made = yield* makePlan(blueprint, request, { ...known.options, ...means, ...options, measure })
    const plan = { ...made, notes: [...made.notes, ...known.notes] }
    await writePlan(join(folder, planName), plan, { force: true })
    const { goal, bitsPerWeight, dataBytes, notes } = plan
    return { files: [planName], result: { goal, bitsPerWeight, dataBytes, notes } }
  },

  quantize: (task, { threads, memoryBytes, signal }) => runOutput(task, { threads, memoryBytes, signal }),

  /** Some of the tensors of an output: see split.ts. */
  'quantize-part': (task, { threads, memoryBytes, signal }) => runPart(task, { threads, memoryBytes, signal }),

  /** Base logits of the model that others are measured against. */
  async *reference({ unit, inputs, folder }, { threads, signal }) {
    const file = v.object({ name: v.string(), sha256: v.string(), sizeBytes: v.number() })
    const schema = v.object({ ...texts, reference: v.object({ name: v.string(), files: v.array(file) }) })
    const { chunks, contextLength, reference } = v.parse(schema, unit.options)
    const [path, text] = [inputs['model']?.path ?? '', inputs['text']?.path ?? '']
    yield* keepReference({ path, text, folder, ...reference, chunks, contextLength, threads, signal })
    return { files: [...keptReferenceFiles], result: null }
  },

  /** How far a model is from its reference. */
  async *measure({ unit, inputs, folder }, { threads, signal }) {
    const { chunks, contextLength } = v.parse(v.object(texts), unit.options)
    const [model, text] = [inputs['model']?.path ?? '', inputs['text']?.path ?? '']
    const means = { chunks, contextLength, threads, signal }
    const measurement = yield* measureKept(inputs['reference']?.folder ?? '', model, text, means)
    await writeWhole(join(folder, measurementName), measurementJson(measurement))
    return { files: [measurementName], result: null }
  },
}

/** What quantization errors depend on beside a tensor's own form. */
function measuredKey({ unit: { version, options, inputs } }: UnitTask): string {
  const adapters = Object.entries(inputs).filter(([role]) => /^(?:model|calibration|lora\d+)$/.test(role))
  const words = JSON.stringify([version, options['scales'], options['use'], adapters.toSorted(([a], [b]) => (a < b ? -1 : 1))])
  return createHash('sha256').update(words).digest('hex').slice(0, 24)
}
