import { mkdir, rm } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { MqError } from '../errors/index.js'
import { writeWhole } from '../files/index.js'
import type { Progress } from '../progress/index.js'
import { mqVersion } from '../registry/index.js'
import { modelKeeper } from '../runner/index.js'
import { reportOfMeasurement, writeReport } from '../verify/index.js'
import type { BuildSpec } from './file/build-spec.js'
import { readBuild } from './file/read-build.js'
import { checkModelGates, gatesError, type OutputGate } from './gates/check-gates.js'
import { type GivenInputs, makeGraph } from './graph/make-graph.js'
import type { Graph } from './graph/step.js'
import { type Publication, publishOutputs } from './publish/publish-outputs.js'
import type { UnitExecutor } from './run/executor.js'
import { inProcess } from './run/in-process.js'
import { runGraph, type StepEvent } from './run/run-graph.js'
import { openDigests } from './sources/digests.js'
import { type FetchModelOptions, fetchModel, pruneFetched, shareFile } from './sources/fetch-model.js'
import { findGivens } from './sources/find-givens.js'
import { summaryMarkdown } from './summary/markdown.js'
import { summaryPage } from './summary/page.js'
import { type BuildReport, type BuiltModel, type BuiltOutput, readOutputs, withGates } from './summary/report.js'
import { lockWork, type StepRecord, type WorkFolder, workFolder } from './work/work-folder.js'

/** What is built, with which means. */
export interface BuildOptions {
  /** The build file. */
  readonly file: string
  /** Where results of steps are kept; by default `.mq-build` beside the file. */
  readonly work?: string
  /** Instead of those of the file. */
  readonly threads?: number
  readonly memoryBytes?: number
  /** Where units are run; by default in this process. */
  readonly executor?: (work: WorkFolder) => UnitExecutor
  /** Removes results that this build does not use, once it is done. */
  readonly prune?: boolean
  readonly signal?: AbortSignal
}

/** What a build yields: progress of its steps, and each step's beginning and end. */
export interface BuildProgress extends Progress {
  /** The step, such as `llama/quantize/small`. */
  readonly step?: string
  /** Absent while it runs. `known`: done by an earlier run. */
  readonly state?: 'known' | 'started' | 'done'
  /** With `done`. */
  readonly seconds?: number
  readonly sizeBytes?: number
}

/** What a build has come to, and the error of its gates where one failed: then nothing was published. */
export interface BuildOutcome {
  readonly report: BuildReport
  readonly failed?: MqError
}

/**
 * Makes, measures, checks and publishes what a build file says. Results of steps are kept by the digests of all that they depend on: a run
 * that was ended goes on where it was, and a change of the file costs the steps that it changes. Where a gate fails, nothing is published.
 * @throws MqError BUILD_INVALID, BUILD_BUSY, and those of the steps, with their place in the file.
 */
export async function* build(options: BuildOptions): AsyncGenerator<BuildProgress, BuildOutcome, void> {
  const { signal } = options
  const startedAt = performance.now()
  const spec = await readBuild(options.file)
  const work = workFolder(resolve(options.work ?? defaultWork(spec)))
  const release = await lockWork(work.path)
  try {
    const { threads = spec.threads, memoryBytes = spec.memoryBytes } = options
    const measured = join(work.path, 'measured')
    const executor = options.executor?.(work)
    const own = inProcess({ measured, signal })
    const fetched = { keys: new Set<string>(), folders: new Set<string>() }
    const { inputs, graph } = yield* prepare(spec, { work, executor, own, fetched, signal })
    const counts = { known: 0, run: 0 }
    const steps = runSteps(graph, work, { executor, threads, memoryBytes, measured, signal })
    const records = yield* counted(steps, graph, counts)

    const gates: (OutputGate & { model: string })[] = []
    const models: BuiltModel[] = []
    for (const model of spec.models) {
      const outputs = await readOutputs(model, records)
      const checked = checkModelGates(model, new Map(outputs.map((output) => [output.name, output])))
      gates.push(...checked.map((gate) => ({ ...gate, model: model.key })))
      models.push({ name: model.key, source: model.source, outputs: outputs.map((output) => withGates(output, checked)) })
    }
    const failed = gatesError(gates)
    const reports = await writeReports(work.path, models)
    const publications = failed === undefined ? yield* publishAll(spec, inputs, models, records, reports, work.path, signal) : []
    const report: BuildReport = {
      version: 1,
      title: spec.title,
      file: options.file,
      mq: mqVersion(),
      models,
      passed: failed === undefined,
      publications,
      steps: { total: graph.steps.length, ...counts },
      seconds: (performance.now() - startedAt) / 1000,
      work: work.path,
      summaries: ['md', 'html', 'json'].map((ending) => join(work.path, `summary.${ending}`)),
    }
    await writeSummaries(report)
    if (options.prune === true && failed === undefined) {
      await work.prune(new Set([...fetched.keys, ...[...records.values()].map(({ key }) => key)]))
      await pruneFetched(work, fetched)
      // Of no use where its steps are done.
      await rm(measured, { recursive: true, force: true })
    }
    return { report, failed }
  } finally {
    await release()
  }
}

/** Where results of steps are kept unless it is said otherwise. */
export function defaultWork({ path }: Pick<BuildSpec, 'path'>): string {
  return join(dirname(path), '.mq-build')
}

async function* prepare(
  spec: BuildSpec,
  { executor, ...options }: Omit<FetchModelOptions, 'executor' | 'digests'> & { readonly executor: UnitExecutor | undefined },
): AsyncGenerator<BuildProgress, { readonly inputs: ReadonlyMap<string, GivenInputs>; readonly graph: Graph }, void> {
  const digests = await openDigests(join(options.work.path, 'digests.json'), true)
  // The cache of this machine, and its package, are not seen by others.
  const remote =
    executor?.isRemote === true
      ? {
          pull: (name: string) => fetchModel(name, { ...options, executor, digests }),
          share: (path: string) => shareFile(options.work, path),
        }
      : {}
  const inputs = yield* findGivens(spec, { digests, ...remote, signal: options.signal })
  return { inputs, graph: makeGraph(spec, inputs) }
}

/** Runs all steps, in this process unless it is said otherwise. @param options.measured as in InProcessOptions. */
async function* runSteps(
  graph: Graph,
  work: WorkFolder,
  {
    executor,
    threads,
    memoryBytes,
    measured,
    signal,
  }: Pick<BuildOptions, 'threads' | 'memoryBytes' | 'signal'> & {
    readonly executor: UnitExecutor | undefined
    readonly measured: string
  },
): ReturnType<typeof runGraph> {
  await using models = modelKeeper()
  const chosen = executor ?? inProcess({ measured, threads, memoryBytes, models, signal })
  return yield* runGraph(graph, { work, executor: chosen, signal })
}

/** Events of steps as progress. @param counts are counted up. */
async function* counted(
  events: AsyncGenerator<StepEvent, ReadonlyMap<string, StepRecord>, void>,
  { steps }: Graph,
  counts: { known: number; run: number },
): AsyncGenerator<BuildProgress, ReadonlyMap<string, StepRecord>, void> {
  const total = steps.length
  for (;;) {
    const next = await events.next()
    if (next.done === true) return next.value
    const { event, step } = next.value
    if (event === 'progress') {
      const { progress } = next.value
      yield { ...progress, stage: `${step.id}: ${progress.stage}`, step: step.id }
      continue
    }
    if (event === 'known') counts.known += 1
    if (event === 'done') counts.run += 1
    const ended = event === 'done' ? { seconds: next.value.record.seconds, sizeBytes: sizeOf(next.value.record) } : {}
    const done = counts.known + counts.run
    yield { stage: 'build', done, total, unit: 'steps', item: step.id, step: step.id, state: event, ...ended }
  }
}

function sizeOf({ files }: StepRecord): number {
  return files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
}

/** Reports of all outputs that were measured, as `mq verify` writes them, by `model/output`. */
async function writeReports(work: string, built: readonly BuiltModel[]): Promise<Map<string, string>> {
  const folder = join(work, 'reports')
  const paths = new Map<string, string>()
  for (const { name: model, outputs } of built) {
    for (const output of outputs) {
      if (output.measurement === undefined) continue
      await mkdir(folder, { recursive: true })
      const path = join(folder, `${model}-${output.name}.gguf.verify.json`)
      await writeReport(path, reportOfMeasurement(output.measurement, output.gates))
      paths.set(`${model}/${output.name}`, path)
    }
  }
  return paths
}

async function* publishAll(
  spec: BuildSpec,
  inputs: ReadonlyMap<string, GivenInputs>,
  models: readonly BuiltModel[],
  records: ReadonlyMap<string, StepRecord>,
  reports: ReadonlyMap<string, string>,
  work: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<BuildProgress, readonly Publication[], void> {
  const made: Publication[] = []
  for (const model of spec.models) {
    const outputs = (models.find(({ name }) => name === model.key)?.outputs ?? []).map((output: BuiltOutput) => {
      const report = reports.get(`${model.key}/${output.name}`)
      const record = records.get(`${model.key}/quantize/${output.name}`) as StepRecord
      return { name: output.name, record, plan: output.plan, report }
    })
    const { source } = inputs.get(model.key) as GivenInputs
    const where = { folder: dirname(spec.path), records: join(work, 'published'), signal }
    made.push(...(yield* publishOutputs(model, source, outputs, where)))
  }
  return made
}

async function writeSummaries(report: BuildReport): Promise<void> {
  const texts = [summaryMarkdown(report), summaryPage(report), `${JSON.stringify(report, undefined, 2)}\n`]
  for (const [index, path] of report.summaries.entries()) await writeWhole(path, texts[index] ?? '')
}
