import { join } from 'node:path'
import { MqError } from '../../errors/index.js'
import { finish, type Progress } from '../../progress/index.js'
import { digestOfList, unitKey, unitVersion } from '../graph/digest.js'
import type { Graph, Step, Unit } from '../graph/step.js'
import type { StepRecord, WorkFolder } from '../work/work-folder.js'
import type { UnitExecutor, UnitInput } from './executor.js'

/** What happens while steps are run. */
export type StepEvent =
  | { readonly event: 'known' | 'started'; readonly step: Step; readonly key: string }
  | { readonly event: 'done'; readonly step: Step; readonly key: string; readonly record: StepRecord }
  | { readonly event: 'progress'; readonly step: Step; readonly progress: Progress }

/** How a graph is run. */
export interface RunGraphOptions {
  readonly work: WorkFolder
  readonly executor: UnitExecutor
  readonly signal?: AbortSignal
}

/** The unit of a step whose predecessors are done; undefined while one is not. */
export function unitOf(step: Step, { givens }: Graph, done: ReadonlyMap<string, StepRecord>): Unit | undefined {
  const inputs: Record<string, string> = {}
  for (const [role, input] of Object.entries(step.inputs)) {
    const digest =
      'given' in input
        ? givens.get(input.given)?.digest
        : done.has(input.step)
          ? digestOfStep(done.get(input.step) as StepRecord)
          : undefined
    if (digest === undefined) return undefined
    inputs[role] = digest
  }
  return { version: unitVersion(), kind: step.kind, options: step.options, inputs }
}

function digestOfStep({ files }: StepRecord): string {
  return digestOfList(files)
}

/** Records of the steps that are done already, as far as that can be known without running any. */
export async function knownSteps(graph: Graph, work: WorkFolder): Promise<Map<string, StepRecord>> {
  const done = new Map<string, StepRecord>()
  for (const step of graph.steps) {
    const unit = unitOf(step, graph, done)
    const record = unit && (await work.find(step.kind, unitKey(unit)))
    if (record !== undefined) done.set(step.id, record)
  }
  return done
}

/**
 * Runs the steps of a graph that are not done, each as soon as its predecessors are, as many at a time as the executor takes. What is done
 * stays done, whatever ends the run.
 * @returns the records of all steps.
 * @throws MqError of the first step that fails, with its place in the build file among the details of the suggestion.
 */
export async function* runGraph(
  graph: Graph,
  { work, executor, signal }: RunGraphOptions,
): AsyncGenerator<StepEvent, ReadonlyMap<string, StepRecord>, void> {
  const done = new Map<string, StepRecord>()
  const waiting = new Set(graph.steps)
  const running = new Map<Step, Promise<void>>()
  const events: StepEvent[] = []
  let wake = (): void => {}
  let failure: { readonly error: unknown; readonly step: Step } | undefined
  const say = (event: StepEvent): void => {
    events.push(event)
    wake()
  }
  const run = async (step: Step, unit: Unit, key: string): Promise<void> => {
    try {
      const startedAt = performance.now()
      const folder = work.folderOf(step.kind, key)
      const task = { unit, key, inputs: inputsOf(step, graph, done), folder }
      const made = await finish(executor.run(task), (progress) => say({ event: 'progress', step, progress }))
      const seconds = (performance.now() - startedAt) / 1000
      const record = made.record ?? (await work.commit(unit, key, { ...made, seconds }))
      done.set(step.id, record)
      say({ event: 'done', step, key, record })
    } catch (error) {
      if (failure === undefined) {
        failure = { error, step }
        executor.cancel?.()
      }
    } finally {
      running.delete(step)
      wake()
    }
  }
  while (waiting.size > 0 || running.size > 0) {
    for (const step of waiting) {
      if (failure !== undefined || running.size >= executor.capacity) break
      if (signal?.aborted === true) throw MqError.of('INTERRUPTED', { what: step.id })
      const unit = unitOf(step, graph, done)
      if (unit === undefined) continue
      waiting.delete(step)
      const key = unitKey(unit)
      const record = await work.find(step.kind, key)
      if (record === undefined) {
        events.push({ event: 'started', step, key })
        running.set(step, run(step, unit, key))
      } else {
        done.set(step.id, record)
        events.push({ event: 'known', step, key })
      }
    }
    yield* events.splice(0)
    if (failure !== undefined && running.size === 0) throw stepError(failure.error, failure.step)
    if (running.size === 0) continue
    await new Promise<void>((resolve) => {
      wake = resolve
      if (events.length > 0) resolve()
    })
  }
  yield* events.splice(0)
  return done
}

/** The error of a step, with where it stands in the build file. */
export function stepError(thrown: unknown, { id, place: { line, column } }: Step): MqError {
  const error = MqError.from(thrown)
  return error.withSuggestion(
    `${error.suggestion.replaceAll('{', '(').replaceAll('}', ')')} The step is ${id}, of line ${line}, column ${column} of the build file.`,
  )
}

function inputsOf(step: Step, { givens }: Graph, done: ReadonlyMap<string, StepRecord>): Record<string, UnitInput> {
  return Object.fromEntries(
    Object.entries(step.inputs).map(([role, input]) => {
      if ('given' in input) {
        const path = givens.get(input.given)?.path ?? ''
        return [role, { path, folder: path }]
      }
      const { folder, files } = done.get(input.step) as StepRecord
      return [role, { path: join(folder, files[0]?.name ?? ''), folder }]
    }),
  )
}
