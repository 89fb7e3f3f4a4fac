import { join } from 'node:path'
import { mergeMatrices } from '../../calibration/index.js'
import type { WithProgress } from '../../progress/index.js'
import type { ModelKeeper } from '../../runner/index.js'
import type { UnitKind } from '../graph/step.js'
import { makeFolder } from '../work/work-folder.js'
import type { UnitExecutor, UnitResult, UnitTask } from './executor.js'
import { calibrationName, runCalibrate, runCalibratePart } from './units/calibrate-unit.js'
import { runFetch } from './units/fetch-unit.js'
import { runMeasure, runMeasurePart, runReference, runReferencePart } from './units/measure-units.js'
import { runOutput, runPart } from './units/output-unit.js'
import { runPlan, runPlanPart } from './units/plan-unit.js'

/** Means of this process; results do not depend on them. */
export interface InProcessOptions {
  readonly threads?: number
  readonly memoryBytes?: number
  /** Where quantization errors that were measured are kept for other units. */
  readonly measured: string
  /** Who measures, where several processes do at a time: each writes a file of its own. */
  readonly measuredBy?: string
  /** Keeps a model loaded between units that run it; by default each loads its own. */
  readonly models?: ModelKeeper | undefined
  readonly signal?: AbortSignal
}

/** Runs units in this process, one after another: each uses all threads by itself. */
export function inProcess(options: InProcessOptions): UnitExecutor {
  return {
    capacity: 1,
    async *run(task) {
      const { kind } = task.unit
      // The others have all memory for themselves.
      if (!runModels.has(kind)) await options.models?.release()
      await makeFolder(task.folder)
      return yield* units[kind](task, options)
    },
  }
}

/** Units that run a model. */
const runModels: ReadonlySet<UnitKind> = new Set([
  'calibrate',
  'calibrate-part',
  'reference',
  'reference-part',
  'measure',
  'measure-part',
])

type RunUnit = (task: UnitTask, options: InProcessOptions) => WithProgress<UnitResult>

/** What each kind of unit does. */
const units: Readonly<Record<UnitKind, RunUnit>> = {
  /** A checkpoint as a lossless GGUF, for llama.cpp to run. */
  convert: (task, { threads, memoryBytes, signal }) => runOutput(task, { threads, memoryBytes, signal }),
  quantize: (task, { threads, memoryBytes, signal }) => runOutput(task, { threads, memoryBytes, signal }),
  'quantize-part': (task, { threads, memoryBytes, signal }) => runPart(task, { threads, memoryBytes, signal }),
  calibrate: runCalibrate,
  'calibrate-part': runCalibratePart,
  /** The sum of several calibrations. */
  async *merge({ inputs, folder }) {
    const paths = Object.keys(inputs).map((_, index) => inputs[`part${index}`]?.path ?? '')
    yield { stage: 'merge', done: 0, total: paths.length, unit: 'files' }
    const { chunks, tensors } = await mergeMatrices(paths, join(folder, calibrationName), { force: true })
    return { files: [calibrationName], result: { chunks, tensors } }
  },
  plan: runPlan,
  'plan-part': runPlanPart,
  reference: runReference,
  'reference-part': runReferencePart,
  measure: runMeasure,
  'measure-part': runMeasurePart,
  fetch: runFetch,
}
