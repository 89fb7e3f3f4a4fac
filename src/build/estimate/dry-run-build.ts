import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { availableBytes } from '../../files/index.js'
import { readModelHeaders } from '../../model/index.js'
import type { WithProgress } from '../../progress/index.js'
import { formatBytes, formatSeconds, formatTable } from '../../terminal/index.js'
import { type BuildOptions, defaultWork } from '../build.js'
import type { BuildSpec, ModelSpec } from '../file/build-spec.js'
import { publicationPlace } from '../file/check-references.js'
import { readBuild } from '../file/read-build.js'
import { type GivenInputs, makeGraph } from '../graph/make-graph.js'
import type { Graph, Step } from '../graph/step.js'
import { knownSteps, stepError } from '../run/run-graph.js'
import { openDigests } from '../sources/digests.js'
import { findGivens } from '../sources/find-givens.js'
import { workFolder } from '../work/work-folder.js'
import { estimator, type StepEstimate } from './step-estimates.js'

/** One step of a dry run. */
export interface DryStep extends StepEstimate {
  readonly id: string
  /** Steps that come before it. */
  readonly after: readonly string[]
  /** Whether an earlier run has done it; its size is then that of its result. */
  readonly known: boolean
}

/** What a build would do. */
export interface BuildDryRun {
  readonly version: 1
  readonly title: string
  readonly file: string
  readonly work: string
  readonly steps: readonly DryStep[]
  /** `NAME -> PLACE`, if every gate passes. */
  readonly publications: readonly { readonly name: string; readonly to: string }[]
  /** Of the steps that are to be done; what is free where they would be kept. */
  readonly diskBytes: number
  readonly freeBytes: number
  readonly memoryBytes: number
  readonly seconds: StepEstimate['seconds']
}

/**
 * What `build` would do, from headers alone: nothing is pulled, run or written. Files are hashed to know what is done already.
 * @throws MqError BUILD_INVALID; BUDGET_IMPOSSIBLE and the like with the place of the output.
 */
export async function* dryRunBuild(options: BuildOptions): WithProgress<BuildDryRun> {
  const { signal } = options
  const spec = await readBuild(options.file)
  const work = workFolder(resolve(options.work ?? defaultWork(spec)))
  const digests = await openDigests(join(work.path, 'digests.json'), false)
  const inputs = yield* findGivens(spec, { digests, withoutPulling: true, signal })
  const graph = makeGraph(spec, inputs)
  const known = await knownSteps(graph, work)
  const estimates = new Map<string, (step: Step) => Promise<StepEstimate>>()
  for (const model of spec.models)
    estimates.set(model.key, await estimatorOf(model, inputs.get(model.key) as GivenInputs, graph, spec, options))
  const steps: DryStep[] = []
  for (const [done, step] of graph.steps.entries()) {
    yield { stage: 'estimate', done, total: graph.steps.length, unit: 'steps', item: step.id }
    const record = known.get(step.id)
    const after = Object.values(step.inputs).flatMap((input) => ('step' in input ? [input.step] : []))
    const estimate = await estimates
      .get(step.model)?.(step)
      .catch((error: unknown) => {
        throw stepError(error, step)
      })
    const size = record?.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    steps.push({
      id: step.id,
      after,
      known: record !== undefined,
      ...(estimate as StepEstimate),
      ...(size !== undefined && { sizeBytes: size }),
    })
  }
  const left = steps.filter((step) => !step.known)
  const sum = (pick: (step: DryStep) => number): number => left.reduce((total, step) => total + pick(step), 0)
  return {
    version: 1,
    title: spec.title,
    file: options.file,
    work: work.path,
    steps,
    publications: spec.models.flatMap(publicationsOf),
    diskBytes: sum(({ sizeBytes }) => sizeBytes),
    freeBytes: await availableBytes(nearestFolder(work.path)),
    memoryBytes: Math.max(0, ...left.map(({ memoryBytes }) => memoryBytes)),
    seconds: { low: sum(({ seconds }) => seconds.low), high: sum(({ seconds }) => seconds.high) },
  }
}

async function estimatorOf(
  model: ModelSpec,
  inputs: GivenInputs,
  { givens }: Graph,
  { threads, memoryBytes }: BuildSpec,
  options: BuildOptions,
): Promise<(step: Step) => Promise<StepEstimate>> {
  const { name, pre, mtp } = model
  // Adapters of a hub are not here; they change no shapes that matter for an estimate.
  const lora = inputs.lora.filter(({ files }) => files.length > 0).map(({ path }) => path)
  const { path, kind } = inputs.source
  const source = kind === 'gguf' ? {} : { name, pre, mtp, lora }
  const { blueprint } = await readModelHeaders(path, { ...source, signal: options.signal })
  return estimator(blueprint, model, givens, {
    threads: options.threads ?? threads ?? availableParallelism(),
    memoryBytes: options.memoryBytes ?? memoryBytes,
  })
}

function publicationsOf({ key, publish, outputs }: ModelSpec): BuildDryRun['publications'] {
  return publish.flatMap((publication) =>
    (publication.outputs ?? Object.keys(outputs)).map((output) => publicationPlace(key, output, publication)),
  )
}

/** The nearest folder that is there. */
function nearestFolder(path: string): string {
  const folder = dirname(path)
  return existsSync(path) || folder === path ? path : nearestFolder(folder)
}

/** The dry run as a user reads it. */
export function dryRunBuildText({
  steps,
  publications,
  diskBytes,
  freeBytes: free,
  memoryBytes,
  seconds,
  work,
}: BuildDryRun): string {
  const rows = steps.map(({ id, after, known, sizeBytes, memoryBytes: memory, seconds: { low, high } }) => [
    id,
    known ? 'done' : '',
    formatBytes(sizeBytes),
    known ? '' : formatBytes(memory),
    known ? '' : `${formatSeconds(low)} to ${formatSeconds(high)}`,
    after.map((other) => other.replace(/^[^/]+\//, '')).join(', '),
  ])
  const left = steps.filter(({ known }) => !known).length
  return [
    formatTable(
      [
        { title: 'step' },
        { title: '' },
        { title: 'size', align: 'right' },
        { title: 'memory', align: 'right' },
        { title: 'time', align: 'right' },
        { title: 'after' },
      ],
      rows,
    ),
    '',
    `${left} of ${steps.length} steps are to be done: ${formatBytes(diskBytes)} of disk space in ${work} (${formatBytes(free)} free), up to ${formatBytes(memoryBytes)} of memory, ${formatSeconds(seconds.low)} to ${formatSeconds(seconds.high)}. Nothing was run.`,
    ...publications.map(({ name, to }) => `If every gate passes: ${name} -> ${to}`),
  ].join('\n')
}
