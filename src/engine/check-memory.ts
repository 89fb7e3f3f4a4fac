import { MqError } from '../errors/index.js'
import type { Blueprint } from '../model/index.js'
import { preferredRowStep, rowLength } from '../recipe/index.js'
import { memoryOfNeeds } from './feedback.js'
import { defaultDamping, type InputCovariances, needsOf } from './input-covariances.js'
import { memoryShare, taskBytesOf } from './memory.js'
import { rowRangesOf } from './row-ranges.js'
import type { PreparedKey, RowRun, WorkerTask } from './task.js'

/** Steps of a quantization that need memory of their own. */
export interface MemorySteps {
  /** Errors of types are measured. */
  readonly measures: boolean
  /** Dampings are chosen on inputs that were held out. */
  readonly dampings: boolean
}

/** Values of a task, where rows can be split that small. */
const taskElements = { quantize: 2 ** 18, measure: 2 ** 17 } as const

/** One type for each layout of error feedback. */
const ofEachLayout = ['Q2_K', 'Q4_K', 'IQ2_XXS', 'IQ2_XS'] as const
const ofOneLayout = ['Q4_K'] as const

/**
 * Checks a memory limit against the needs of all steps of a quantization, before the first begins. The types of tensors are not known yet: the
 * limit has to be enough for any types.
 * @throws MqError MEMORY_TOO_SMALL, with a limit that is enough for all steps.
 */
export function checkMemory(
  blueprint: Blueprint,
  memoryBytes: number | undefined,
  calibration: InputCovariances | undefined,
  { measures, dampings }: MemorySteps,
): void {
  if (memoryBytes === undefined) return
  const inputOf = calibration && ((tensor: string, matrix: number) => calibration.inputOf(tensor, matrix))
  const matrices = blueprint.tensors.flatMap((tensor) => [...rowRangesOf(tensor, wholeMatrix, { inputOf })])
  const steps: (readonly [WorkerTask['kind'], (run: RowRun) => readonly PreparedKey[] | undefined])[] = [
    ['quantize', (run) => needsOf(run, ofOneLayout, defaultDamping)],
  ]
  if (measures) steps.push(['measure', (run) => needsOf(run, ofEachLayout, defaultDamping)])
  if (dampings) steps.push(['measure', (run) => needsOf(run, ofOneLayout, defaultDamping)?.map(onHeldOut)])
  const least = steps.map(([kind, needs]) => {
    const largest = Math.max(0, ...matrices.map((run) => taskBytesOf(kind, maxElements(run, taskElements[kind]))))
    const memory =
      calibration &&
      memoryOfNeeds(
        calibration,
        matrices.map((run) => ({ needs: needs(run) })),
      ).memory
    return minLimit(memoryBytes, largest, memory)
  })
  const most = Math.max(...least)
  if (memoryBytes < most) throw MqError.of('MEMORY_TOO_SMALL', { asked: memoryBytes, least: most })
}

/** More elements than any matrix has. */
const wholeMatrix = 2 ** 50

function maxElements({ recipe, start, end }: RowRun, elements: number): number {
  const length = rowLength(recipe)
  return Math.min((end - start) * length, Math.max(elements, preferredRowStep(recipe) * length))
}

function onHeldOut(key: PreparedKey): PreparedKey {
  return key.form === 'outputs' ? { ...key, form: 'held-out' } : key
}

function minLimit(memoryBytes: number, largest: number, memory: Parameters<typeof memoryShare>[3]): number {
  try {
    memoryShare(memoryBytes, 1, largest, memory)
    return 0
  } catch (error) {
    if (error instanceof MqError && error.code === 'MEMORY_TOO_SMALL') return Number(error.details['least'])
    throw error
  }
}
