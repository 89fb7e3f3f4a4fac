import { Flags, type Interfaces } from '@oclif/core'
import {
  type Blueprint,
  embeddingInputs,
  isDamping,
  MqError,
  makePlan,
  openCalibration,
  type Plan,
  type PlanningOptions,
  type PlanRequest,
  readImportance,
  readMixture,
  sensitivityEstimates,
  typicalErrorsNote,
  typicalMeasure,
  type WithProgress,
} from '../../src/index.js'
import { budgetFlags, budgetOf, budgets } from './budget-flags.js'
import { workFlags, workOptions } from './work-flags.js'

/** What a plan is asked for with: `mq plan` and `mq quantize` take the same. One of `goals`, or of what a command adds to them. */
export const planFlags = {
  ...budgetFlags,
  preset: Flags.string({ char: 'p', description: 'A mixture of llama.cpp, such as Q4_K_M.' }),
  mixture: Flags.string({
    description: 'A mixture from a JSON file, or by name one of those in samples/mixtures, such as unsloth-q2_k_xl.',
  }),
  type: Flags.string({ description: 'One type for all weights, such as Q4_K.' }),
  'tensor-type': Flags.string({
    multiple: true,
    description: 'REGEX=TYPE: the type of tensors whose name the expression is found in; the first that matches holds.',
  }),
  imatrix: Flags.string({
    description: "Importance matrix of the model, in either of llama.cpp's forms: errors are weighed with it.",
  }),
  calibration: Flags.string({
    description: 'What `mq imatrix` found out about the inputs: codes are chosen such that errors cancel in the outputs.',
    exclusive: ['imatrix'],
  }),
  damping: Flags.string({
    description:
      'Damping of error feedback, 0.0001 to 10000: how little to trust the calibration; or 0 for no feedback, not of the embedding either, which needs no calibration. [default: as suits text held out, else 0.3]',
  }),
  calibrate: Flags.option({
    options: sensitivityEstimates,
    description:
      'How sensitivity is estimated for bit allocation: none uses role weights and the error of the weights, fast the error of the outputs under the calibration. [default: fast with --calibration, else none]',
  })(),
  ...workFlags,
}

/** Flags that say how small a model is to be: exactly one is given. */
export const goals: readonly string[] = [...budgets, 'preset', 'mixture', 'type']

export type PlanFlags = Interfaces.InferredFlags<typeof planFlags>

/**
 * The request that flags make; a mixture is read.
 * @param command the one that was called, for messages.
 * @throws MqError FLAG_INVALID, MIXTURE_UNKNOWN, MIXTURE_INVALID; FILE_MISSING and the like.
 */
export async function requestOf(flags: PlanFlags, command: string): Promise<PlanRequest> {
  const { preset, type, 'tensor-type': tensorTypes } = flags
  const mixture = flags.mixture === undefined ? undefined : await readMixture(flags.mixture)
  return { ...budgetOf(flags, command), preset, mixture, type, tensorTypes }
}

/** What planning and quantizing have in common, read and checked against the model. Dispose of it: files are open. */
export interface PlanInputs extends AsyncDisposable {
  readonly options: Omit<PlanningOptions, 'signal'>
  /** Things the user should know. */
  readonly notes: readonly string[]
}

/**
 * Reads what flags name.
 * @throws MqError FLAG_INVALID, and what readImportance and openCalibration throw.
 */
export async function readInputs(flags: PlanFlags, blueprint: Blueprint, command: string): Promise<PlanInputs> {
  const work = { ...workOptions(flags, command), ...dampingOf(flags, command), ...calibrateOf(flags) }
  if (flags.calibration !== undefined) {
    const calibration = await openCalibration(flags.calibration, blueprint)
    const { importance, notes } = calibration
    return { options: { ...work, importance, calibration }, notes, [Symbol.asyncDispose]: () => calibration.close() }
  }
  const nothing = { [Symbol.asyncDispose]: () => Promise.resolve() }
  const embedding = embeddingInputs(blueprint)
  const known = { ...work, ...(embedding && { calibration: embedding }) }
  if (flags.imatrix === undefined) return { options: known, notes: [], ...nothing }
  const { importance, notes } = await readImportance(flags.imatrix, blueprint)
  return { options: { ...known, importance }, notes, ...nothing }
}

function calibrateOf({ calibrate, calibration }: PlanFlags): Pick<PlanningOptions, 'calibrate'> {
  if (calibrate === undefined) return {}
  if (calibrate === 'fast' && calibration === undefined) {
    throw MqError.of('FLAGS_CONFLICT', { problem: '--calibrate fast needs a --calibration file', command: 'imatrix' })
  }
  return { calibrate }
}

function dampingOf({ damping: text }: PlanFlags, command: string): { readonly damping?: number } {
  if (text === undefined) return {}
  const damping = text.trim() === '' ? Number.NaN : Number(text)
  if (isDamping(damping)) return { damping }
  throw MqError.of('FLAG_INVALID', { flag: 'damping', value: text, problem: 'it is neither 0 nor from 0.0001 to 10000', command })
}

/** What planning takes of the inputs. */
type Planned = Pick<PlanInputs, 'options' | 'notes'>

/** The same without looking at weights: errors are typical ones, and nothing is said of damping. */
export function withoutWeights({ options: { calibration: _unused, ...options }, notes }: Planned): Planned {
  return { options: { ...options, measure: typicalMeasure }, notes: [...notes, typicalErrorsNote] }
}

/** The plan of a request, with the notes of its inputs. @throws what makePlan throws. */
export async function* planWith(
  blueprint: Blueprint,
  request: PlanRequest,
  { options, notes }: Planned,
  signal: AbortSignal,
): WithProgress<Plan> {
  const plan = yield* makePlan(blueprint, request, { ...options, signal })
  return { ...plan, notes: [...plan.notes, ...notes] }
}
