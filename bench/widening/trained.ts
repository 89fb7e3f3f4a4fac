import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { openCalibration, widenedInputs } from '../../src/calibration/index.js'
import { makeBlueprint } from '../../src/model/convert/index.js'
import type { Blueprint } from '../../src/model/index.js'
import { type Grain, usefulChanges, type Widths, widen } from '../../src/model/widen/index.js'
import { measureAll, type TypeErrors } from '../../src/plan/allocate/index.js'
import type { DampingTrials } from '../../src/plan/dampings.js'
import { makePlan } from '../../src/plan/make-plan.js'
import type { PlanRequest } from '../../src/plan/plan-request.js'
import { finish, type WithProgress } from '../../src/progress/index.js'
import { quantize } from '../../src/quantize/index.js'
import { loadModel } from '../../src/runner/index.js'
import { divergenceOf } from '../../src/verify/index.js'

/** A trained network, what was measured of its inputs, and what its files are held against. */
export interface TrainedModel {
  /** A GGUF file of full precision. */
  readonly model: string
  /** Of `mq imatrix`, on the model as it is. */
  readonly calibration: string
  /** Files of text, by name. */
  readonly texts: Readonly<Record<string, string>>
  /** Chunks of 512 tokens of each text. */
  readonly chunks: number
  /** Where files are made, to be thrown away. */
  readonly folder: string
  readonly threads?: number | undefined
}

/** A file that was made, and how far it is from the model. */
export interface TrainedFile {
  readonly what: string
  readonly dataBytes: number
  /** Of the model's own weights. */
  readonly bitsPerWeight: number
  /** What the planner expected, where it chose types by a budget. */
  readonly estimatedLoss?: number | undefined
  /** Mean KL divergence on each text. */
  readonly divergence: Readonly<Record<string, number>>
}

/** Which widths of a model grow, by the name that the results give it. */
export const widenings: Readonly<Record<string, (model: Blueprint) => Widths>> = {
  narrow: () => ({}),
  'feed-forward': (model) => without(usefulChanges(model), ['embedding_length', 'attention.head_count']),
  'all but heads': (model) => without(usefulChanges(model), ['attention.head_count']),
  all: usefulChanges,
}

function without(widths: Widths, keys: readonly string[]): Widths {
  return Object.fromEntries(Object.entries(widths).filter(([key]) => !keys.includes(key)))
}

/** One type for all matrices, with zeros at each kind of place: the same bytes, so that divergences can be compared. */
export async function* placements(
  trained: TrainedModel,
  { types, grains, widening = 'all' }: { types: readonly string[]; grains: readonly Grain[]; widening?: string },
): AsyncGenerator<TrainedFile> {
  await using lab = await openTrained(trained)
  for (const type of types) {
    for (const grain of grains) {
      const wide = widen(lab.blueprint, (widenings[widening] as (typeof widenings)[string])(lab.blueprint), grain)
      yield await lab.made(`${type} grain ${grain}`, wide, { kind: 'type', type })
    }
  }
}

/** Files of given bits per weight, with and without widening. Budgets that cannot be met are left out. */
export async function* sizes(
  trained: TrainedModel,
  { bits, names }: { bits: readonly number[]; names: readonly string[] },
): AsyncGenerator<TrainedFile> {
  await using lab = await openTrained(trained)
  for (const name of names) {
    const model = widen(lab.blueprint, (widenings[name] as (typeof widenings)[string])(lab.blueprint))
    for (const budget of bits) {
      try {
        yield await lab.made(`${name} at ${budget} bits`, model, { kind: 'bits', bits: budget })
      } catch (error) {
        if ((error as { code?: string }).code !== 'BUDGET_IMPOSSIBLE') throw error
      }
    }
  }
}

interface TrainedLab extends AsyncDisposable {
  readonly blueprint: Blueprint
  made(what: string, model: Blueprint, request: PlanRequest): Promise<TrainedFile>
}

async function openTrained(trained: TrainedModel): Promise<TrainedLab> {
  const { folder, threads, chunks } = trained
  const blueprint = await makeBlueprint(trained.model)
  const calibration = await openCalibration(trained.calibration, blueprint)
  const bases = new Map<string, { base: string; text: string }>()
  {
    await using model = await loadModel(trained.model, { threads })
    for (const [name, path] of Object.entries(trained.texts)) {
      const [base, text] = [join(folder, `${name}.logits`), await readFile(path, 'utf8')]
      await finish(model.saveLogits(base, text, { chunks }))
      bases.set(name, { base, text })
    }
  }
  const errors = new Map<Blueprint, Promise<TypeErrors>>()
  const trials = new Map<Blueprint, DampingTrials>()
  return {
    blueprint,
    async made(what, model, request) {
      const inputs = widenedInputs(calibration, model)
      const given = { importance: inputs.importance, calibration: inputs, threads }
      if (!trials.has(model)) trials.set(model, new Map())
      if (request.kind === 'bits' && !errors.has(model)) errors.set(model, finish(measureAll(model, given)))
      const measured = await errors.get(model)
      const plan = await finish(
        makePlan(model, request, {
          ...given,
          widen: 'none',
          trials: trials.get(model) as DampingTrials,
          ...(measured && { measure: () => justThese(measured) }),
        }),
      )
      const output = join(folder, `${what.replaceAll(' ', '-')}.gguf`)
      await finish(quantize({ blueprint: model, plan, output, force: true, ...given }))
      const divergence: Record<string, number> = {}
      {
        await using loaded = await loadModel(output, { threads })
        for (const [name, { base, text }] of bases) {
          divergence[name] = divergenceOf(await finish(loaded.compareLogits(base, text))).kld.mean.value
        }
      }
      await rm(output)
      const { dataBytes, bitsPerWeight, estimatedLoss } = plan
      return { what, dataBytes, bitsPerWeight, estimatedLoss, divergence }
    },
    [Symbol.asyncDispose]: () => calibration.close(),
  }
}

async function* justThese(errors: TypeErrors): WithProgress<TypeErrors> {
  yield { stage: 'measure', done: 1, total: 1, unit: 'tensors' }
  return errors
}
