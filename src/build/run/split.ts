import { join } from 'node:path'
import type { WithProgress } from '../../progress/index.js'
import { unitKey } from '../graph/digest.js'
import type { Unit, UnitKind } from '../graph/step.js'
import type { StepRecord, WorkFolder } from '../work/work-folder.js'
import type { UnitExecutor, UnitPart, UnitTask } from './executor.js'
import { type PartTask, runParts } from './parts.js'
import { groupsOfCalibrate } from './units/calibrate-unit.js'
import { groupsOfMeasure, groupsOfReference } from './units/measure-units.js'
import { partsOf } from './units/output-unit.js'
import { dividePlan } from './units/plan-unit.js'

/** How large parts are; results do not depend on it. */
export interface PartSizes {
  /** Weights of a part of an output, at least; by default 64 Mi. */
  readonly partWeights?: number
  /** Tensors that are measured by one unit; by default 16, and all of a model of fewer than 64 Mi weights. */
  readonly partTensors?: number
  /** Batches of 2048 tokens that logits are made of, or compared, by one unit; by default 2 to 16, by the size of the model. */
  readonly partBatches?: number
  /** Bytes of a file of a hub that is fetched by a unit of its own, at least; by default 64 MiB. */
  readonly fetchBytes?: number
}

/** A part that a unit is to be divided into. */
export interface WantedPart extends Omit<UnitPart, 'path'> {
  readonly kind: UnitKind
  /** Beside those of the unit that is divided, and besides `first` and `end`. */
  readonly options?: Unit['options']
}

/** Has parts run. @returns them with their results, in the same order. */
export type Hand = (parts: readonly WantedPart[]) => WithProgress<readonly UnitPart[]>

/** Divides a unit, and has its parts run. @returns none where it is run as it is. */
type Divide = (task: UnitTask, sizes: PartSizes, hand: Hand) => WithProgress<readonly UnitPart[]>

const dividers: Partial<Record<UnitKind, Divide>> = {
  convert: inRanges('quantize-part', (task, { partWeights }) => partsOf(task, partWeights)),
  quantize: inRanges('quantize-part', (task, { partWeights }) => partsOf(task, partWeights)),
  calibrate: inRanges('calibrate-part', (task) => groupsOfCalibrate(task)),
  reference: inRanges('reference-part', (task, { partBatches }) => groupsOfReference(task, partBatches)),
  measure: inRanges('measure-part', (task, { partBatches }) => groupsOfMeasure(task, partBatches)),
  plan: dividePlan,
}

type Range = Pick<UnitPart, 'first' | 'end'>

function inRanges(kind: UnitKind, rangesOf: (task: UnitTask, sizes: PartSizes) => Promise<readonly Range[]>): Divide {
  return async function* (task, sizes, hand) {
    const ranges = await rangesOf(task, sizes)
    if (ranges.length < 2) return []
    return yield* hand(ranges.map(({ first, end }) => ({ kind, first, end, options: { of: task.unit.kind } })))
  }
}

/**
 * Splits units that are much work: their parts are units of their own, which an executor can run at the same time, and the unit puts
 * them together. The result has the bytes, and the name, of the unit in one piece. What parts are done is kept in the work folder, until the
 * result is there.
 */
export function splitting(executor: UnitExecutor, work: WorkFolder, sizes: PartSizes = {}): UnitExecutor {
  return {
    ...executor,
    async *run(task) {
      const divide = dividers[task.unit.kind]
      if (divide === undefined) return yield* executor.run(task)
      const done: PartTask[] = []
      const hand: Hand = async function* (wanted) {
        const parts = wanted.map((part) => partTask(task, part))
        const records = yield* runParts(parts, executor, work)
        done.push(...parts)
        return wanted.map(({ first, end }, index) => {
          const { folder, files } = records[index] as StepRecord
          return { first, end, path: join(folder, files[0]?.name ?? '') }
        })
      }
      const parts = yield* divide(task, sizes, hand)
      const result = yield* executor.run(parts.length === 0 ? task : { ...task, parts })
      for (const { unit, key } of done) await work.remove(unit.kind, key)
      return result
    },
  }
}

function partTask({ unit, inputs }: UnitTask, { kind, first, end, options }: WantedPart): PartTask {
  const part: Unit = { ...unit, kind, options: { ...unit.options, ...options, first, end } }
  return { unit: part, key: unitKey(part), inputs }
}
