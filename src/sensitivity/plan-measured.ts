import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ggmlBytes } from '../../formats/ggml/types.js'
import {
  type ChoiceOptions,
  damageAt,
  measureAll,
  planType,
  type TypeErrors,
  type Weigh,
  weighBy,
  writableTypes,
} from '../allocate/index.js'
import type { Blueprint } from '../blueprint.js'
import type { Plan } from '../plan.js'
import { finish, inStage, type WithProgress } from '../progress.js'
import { quantize } from '../quantize/index.js'
import { elementCount } from '../recipe/index.js'
import { fitSensitivities } from './fit.js'
import { copyingFrom, type Judge, type JudgeOptions, openJudge } from './judge.js'
import { judgeText } from './judge-text.js'
import { openProbeCache, type ProbeCache } from './probe-cache.js'
import { type ProbeGroup, probeGroups } from './probe-groups.js'

export interface MeasuredOptions extends JudgeOptions {
  /** What is judged on: its end. Other text than the calibration's. */
  readonly text: string
  /** Where probes are kept; by default in the user's cache folder. */
  readonly cacheFolder?: string
}

/** The type that all tensors have while they are probed. */
const baseType = 'Q2_K'
/** How far what probes say is followed: not at all, half way, and wholly. */
const exponents = [0, 0.5, 1]

/**
 * A plan whose sensitivities were probed, and which was tried: the model in Q2_K gets its precision back role by role and depth by depth,
 * and what divergence that saves says how much the group matters. Plans that follow the probes to several degrees are then made and
 * measured; the best is kept, so that it is no worse on this text than the one without probes.
 * @param make the plan of the user's budget, with these measurements and weights.
 * @throws as openJudge, and what `make` throws.
 */
export async function* planMeasured(
  blueprint: Blueprint,
  make: (choice: Pick<ChoiceOptions, 'measure' | 'weigh'>) => WithProgress<Plan>,
  options: MeasuredOptions,
): WithProgress<Plan> {
  const errors = yield* measureAll(blueprint, options)
  const known: ChoiceOptions['measure'] = async function* () {
    yield { stage: 'measure', done: 1, total: 1, unit: 'tensors' }
    return errors
  }
  // Refuses a budget that cannot be before anything is run.
  yield* make({ measure: known })
  const folder = await mkdtemp(join(tmpdir(), 'mq-probes-'))
  try {
    const text = judgeText(options.text)
    const full = planType(blueprint, blueprint.sourceType)
    const judge = yield* openJudge(blueprint, full, text, folder, options)
    const ratios = yield* probe(blueprint, errors, judge, text, folder, options)
    const expected = weighBy(blueprint, errors)
    const tried: { readonly plan: Plan; readonly divergence: number }[] = []
    for (const exponent of exponents) {
      const weigh: Weigh = (tensor) => {
        const rule = expected(tensor)
        return { ...rule, sensitivity: rule.sensitivity * (ratios.get(tensor.name) ?? 1) ** exponent }
      }
      const plan = yield* make({ measure: known, weigh })
      const stage = `try plan ${tried.length + 1} of ${exponents.length}`
      const chunks = yield* inStage(stage, judge.divergence(blueprint, plan))
      tried.push({ plan, divergence: chunks.reduce((sum, one) => sum + one, 0) / chunks.length })
    }
    const best = tried.reduce((a, b) => (b.divergence < a.divergence ? b : a))
    const figures = tried.map(({ divergence }) => divergence.toFixed(4)).join(', ')
    const note = `Tried ${tried.length} plans that follow the probes more and more: divergence ${figures} on the end of the text; this is the best.`
    return { ...best.plan, notes: [...best.plan.notes, note] }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** For each tensor, how much more it matters than expected. */
async function* probe(
  blueprint: Blueprint,
  errors: TypeErrors,
  judge: Judge,
  text: string,
  folder: string,
  options: MeasuredOptions,
): WithProgress<ReadonlyMap<string, number>> {
  const { calibration, importance } = options
  const identity = { blueprint, calibration, importance, text, base: baseType }
  const cache = await openProbeCache(identity, options.cacheFolder)
  const base = planType(blueprint, baseType, { writable: await writableTypes() })
  const groups = probeGroups(blueprint)
  if (groups.some(({ name }) => !cache.known.has(name)) || !cache.known.has('')) {
    yield* runProbes(blueprint, base, groups, { judge, cache, folder, options })
  }
  const baseChunks = cache.known.get('') ?? []
  const typeOf = new Map(base.tensors.map(({ name, type }) => [name, type]))
  const expected = weighBy(blueprint, errors)
  const ratios = fitSensitivities(
    groups.map(({ name, tensors }) => {
      const chunks = cache.known.get(name) ?? []
      return {
        saved: baseChunks.map((one, index) => one - (chunks[index] ?? one)),
        expected: tensors.reduce((sum, tensor) => {
          return (
            sum + expected(tensor).sensitivity * damageAt(blueprint, errors, tensor.name, typeOf.get(tensor.name) ?? baseType)
          )
        }, 0),
      }
    }),
  )
  return new Map(groups.flatMap(({ tensors }, index) => tensors.map(({ name }) => [name, ratios[index] ?? 1] as const)))
}

interface ProbeRun {
  readonly judge: Judge
  readonly cache: ProbeCache
  readonly folder: string
  readonly options: MeasuredOptions
}

async function* runProbes(
  blueprint: Blueprint,
  base: Plan,
  groups: readonly ProbeGroup[],
  { judge, cache, folder, options }: ProbeRun,
): WithProgress<void> {
  const { text: _text, cacheFolder: _folder, ...work } = options
  const output = join(folder, 'low.gguf')
  yield* inStage('write the low model', quantize({ blueprint, plan: base, output, ...work }))
  const all = [{ name: '', tensors: [] }, ...groups]
  for (const [index, { name, tensors }] of all.entries()) {
    yield { stage: 'probe', done: index, total: all.length, unit: 'tensors', item: name }
    if (cache.known.has(name)) continue
    const anew = new Set(tensors.map((tensor) => tensor.name))
    const from = await copyingFrom(output, blueprint, anew)
    // One bar over all of it says more than one for each.
    await cache.add(name, await finish(judge.divergence(from, restored(base, blueprint, anew))))
  }
  yield { stage: 'probe', done: all.length, total: all.length, unit: 'tensors' }
  await rm(output)
}

/** The plan with some tensors in the source's own type. */
function restored(base: Plan, { sourceType }: Blueprint, names: ReadonlySet<string>): Plan {
  const tensors = base.tensors.map((tensor) => {
    if (!names.has(tensor.name)) return tensor
    return { ...tensor, type: sourceType, sizeBytes: ggmlBytes(sourceType, elementCount(tensor.shape)) }
  })
  return { ...base, tensors, dataBytes: tensors.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) }
}
