import { Flags, type Interfaces } from '@oclif/core'
import { openCalibration, readImportance } from '../../src/calibration/index.js'
import { isDamping } from '../../src/engine/index.js'
import { MqError } from '../../src/errors/index.js'
import { type Blueprint } from '../../src/model/index.js'
import {
  makePlan,
  type Plan,
  type PlanningOptions,
  type PlanRequest,
  readMixture,
  readPlan,
  sensitivityEstimates,
  typicalErrorsNote,
  typicalMeasure,
} from '../../src/plan/index.js'
import { type WithProgress } from '../../src/progress/index.js'
import { budgetFlags, budgetOf, budgets, laterGoals } from './budget-flags.js'
import { widenFlag, widenOf } from './widen-flag.js'
import { workFlags, workOptions } from './work-flags.js'

/** Flags of `mq plan` and `mq quantize`: exactly one of `goals`, or of what a command adds to them. */
export const planFlags = {
  ...budgetFlags,
  preset: Flags.string({
    exclusive: laterGoals('preset'),
    helpValue: 'NAME',
    description:
      'Preset of llama-quantize, such as Q4_K_M: each tensor gets the type that llama-quantize gives it. `mq plan --list` shows all. [default: none]',
  }),
  mixture: Flags.string({
    exclusive: laterGoals('mixture'),
    helpValue: 'NAME|FILE',
    description:
      'Mixture of types from a JSON file, or by name, such as unsloth-q2_k_xl. `mq plan --list` shows the names. [default: none]',
  }),
  type: Flags.string({
    exclusive: laterGoals('type'),
    helpValue: 'TYPE',
    description: 'One type for all weight matrices, such as Q4_K. `mq plan --list` shows the types. [default: none]',
  }),
  'tensor-type': Flags.string({
    multiple: true,
    helpValue: 'REGEX=TYPE',
    description:
      'Type of every tensor whose name the regular expression matches, such as ffn_down=Q6_K; of several, the first match decides. [default: none]',
  }),
  imatrix: Flags.string({
    helpValue: 'FILE',
    description:
      'Importance matrix of the model (GGUF, or the old .dat format of llama-imatrix): weights quantization errors by input column. [default: none]',
  }),
  calibration: Flags.string({
    helpValue: 'FILE',
    description:
      'Calibration file of `mq imatrix`: importance matrix and input covariances, for error feedback (GPTQ/LDLQ). [default: none]',
    exclusive: ['imatrix'],
  }),
  damping: Flags.string({
    helpValue: 'N',
    description:
      'Damping of error feedback, relative to the mean diagonal of the Hessian, from 0.0001 to 10000; 0 turns error feedback off, also for the token embedding, which needs no calibration file. [default: chosen by role, type and depth on held-out rows of the calibration file; 0.3 without them]',
  }),
  calibrate: Flags.option({
    helpValue: 'none|fast',
    options: sensitivityEstimates,
    description:
      'How sensitivity is estimated for bit allocation. none: from role weights and the error of the weights. fast: from the error of the outputs, with --calibration. [default: fast with --calibration, else none]',
  })(),
  widen: widenFlag('auto with --bits, --size and --fit, else none'),
  smooth: Flags.boolean({
    allowNo: true,
    description:
      'Move scales (powers of two) from norms and up-projections to the matrices that read them where a few input columns are far stronger than the rest, as in SmoothQuant; the model computes the same function. Needs --imatrix or --calibration. [default: with --bits, --size and --fit]',
  }),
  ...workFlags,
}

/** Flags that decide the types of a plan: exactly one is given. */
export const goals: readonly string[] = [...budgets, 'preset', 'mixture', 'type']

export type PlanFlags = Interfaces.InferredFlags<typeof planFlags>

/**
 * The request that flags make; a mixture or a plan is read.
 * @param command the one that was called, for messages.
 * @param options plan: the path of a plan file. splitMaxBytes: where the output is to be split.
 * @throws MqError FLAG_INVALID, FLAGS_CONFLICT, MIXTURE_UNKNOWN, MIXTURE_INVALID, PLAN_INVALID; FILE_MISSING and the like.
 */
export async function requestOf(
  flags: PlanFlags,
  command: string,
  { plan, splitMaxBytes }: { readonly plan?: string; readonly splitMaxBytes?: number } = {},
): Promise<PlanRequest> {
  const { preset, mixture, type, 'tensor-type': tensorTypes } = flags
  const budget = budgetOf(flags, command, splitMaxBytes)
  if (budget !== undefined) return { ...budget, tensorTypes }
  if (preset !== undefined) return { kind: 'preset', preset, tensorTypes }
  if (mixture !== undefined) return { kind: 'mixture', mixture: await readMixture(mixture), tensorTypes }
  if (type !== undefined) return { kind: 'type', type, tensorTypes }
  if (plan !== undefined) return { kind: 'plan', plan: await readPlan(plan) }
  throw MqError.of('USAGE', {
    problem: 'one of --bits, --size, --fit, --preset, --mixture, --type and --plan is needed',
    command,
  })
}

/** Inputs of planning and quantizing, read and checked against the model. Dispose of it: files are open. */
export interface PlanInputs extends AsyncDisposable {
  readonly options: Omit<PlanningOptions, 'signal'>
  /** Notes for the user. */
  readonly notes: readonly string[]
}

/**
 * Reads the files that flags name.
 * @throws MqError FLAG_INVALID, and what readImportance and openCalibration throw.
 */
export async function readInputs(flags: PlanFlags, blueprint: Blueprint, command: string): Promise<PlanInputs> {
  const widen = widenOf(flags.widen, command)
  const work = {
    ...workOptions(flags, command),
    ...dampingOf(flags, command),
    ...calibrateOf(flags),
    ...(widen && { widen }),
    ...smoothOf(flags),
  }
  if (flags.calibration !== undefined) {
    const calibration = await openCalibration(flags.calibration, blueprint)
    const { importance, notes } = calibration
    return { options: { ...work, importance, calibration }, notes, [Symbol.asyncDispose]: () => calibration.close() }
  }
  const nothing = { [Symbol.asyncDispose]: () => Promise.resolve() }
  if (flags.imatrix === undefined) return { options: work, notes: [], ...nothing }
  const { importance, notes } = await readImportance(flags.imatrix, blueprint)
  return { options: { ...work, importance }, notes, ...nothing }
}

/** @throws MqError FLAGS_CONFLICT where nothing is known of the inputs. */
function smoothOf({ smooth, imatrix, calibration }: PlanFlags): Pick<PlanningOptions, 'smooth'> {
  if (smooth && imatrix === undefined && calibration === undefined) {
    throw MqError.of('FLAGS_CONFLICT', { problem: '--smooth needs an --imatrix or --calibration file', command: 'imatrix' })
  }
  return smooth === undefined ? {} : { smooth }
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

/** The inputs that planning uses. */
type Planned = Pick<PlanInputs, 'options' | 'notes'>

/** The same without reading weights: errors are typical values for each type, and no damping is chosen. */
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
