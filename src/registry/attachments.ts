import { readFile, stat } from 'node:fs/promises'
import { MqError } from '../errors/index.js'
import type { VerifyReport } from '../verify/index.js'
import type { Source } from './source.js'
import { digestOf } from './store/index.js'

/** The report and the plan that are published with a model. */
export interface Attachments {
  readonly report: { readonly path: string; readonly content: VerifyReport } | undefined
  readonly plan:
    | { readonly goal: string; readonly calibration?: string | undefined; readonly bytes: Buffer; readonly digest: string }
    | undefined
}

/** Paths of report and plan, by default those next to the model, and what to check. */
export interface AttachmentOptions {
  readonly report?: string | undefined
  readonly plan?: string | undefined
  /** Loads a GGUF with llama.cpp. */
  readonly check?: boolean | undefined
  /** Publishes although a gate of the report failed. */
  readonly force?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Finds the report and the plan of a model, and checks that it may be published.
 * @throws MqError REPORT_INVALID, REPORT_MISMATCH where a gate failed, PLAN_INVALID, FILE_MISSING; MODEL_REJECTED, LLAMA_CRASHED, LLAMA_MISSING.
 */
export async function findAttachments(source: Source, options: AttachmentOptions): Promise<Attachments> {
  const report = await findReport(options.report, source)
  if (report !== undefined && !report.content.passed && options.force !== true) throw mismatch(report.path, source)
  const plan = await findPlan(options.plan, source)
  if (options.check === true) await checkLoads(source, options.signal)
  return { report, plan }
}

/** Makes the error for a report that does not belong to the model, or whose gates failed. */
export function mismatch(report: string, source: Source): MqError {
  return MqError.of('REPORT_MISMATCH', { report, file: source.files[0]?.source ?? 'the model' })
}

/** Loads the model, since a model that llama.cpp cannot load should not be published. @throws MqError MODEL_REJECTED, LLAMA_CRASHED, LLAMA_MISSING. */
async function checkLoads({ format, files }: Source, signal: AbortSignal | undefined): Promise<void> {
  const [first] = files
  if (format !== 'gguf' || first === undefined) return
  const { loadModel } = await import('../runner/index.js')
  const model = await loadModel(first.source, signal === undefined ? {} : { signal })
  await model[Symbol.asyncDispose]()
}

/** Returns the path of the plan beside a model: `model.gguf.plan.json`. */
export function planPath(model: string): string {
  return `${model}.plan.json`
}

/** Finds the plan of a model: the given one, or the one beside it. @throws MqError PLAN_INVALID, FILE_MISSING. */
async function findPlan(given: string | undefined, source: Source): Promise<Attachments['plan']> {
  const beside = source.format === 'gguf' ? planPath(source.files[0]?.source ?? '') : undefined
  const path = given ?? ((await stat(beside ?? '').catch(() => undefined))?.isFile() === true ? beside : undefined)
  if (path === undefined) return undefined
  const { readPlan } = await import('../plan/index.js')
  const { goal, calibration } = await readPlan(path)
  const bytes = await readFile(path)
  return { goal, calibration, bytes, digest: digestOf(bytes) }
}

/** Finds the report of a model: the given one, or the one beside it. @throws MqError REPORT_INVALID, FILE_MISSING. */
async function findReport(given: string | undefined, source: Source): Promise<Attachments['report']> {
  // Imported only here: other registry operations do not need it.
  const { readReport, reportPath } = await import('../verify/index.js')
  const first = source.files[0]?.source
  const beside = first !== undefined && source.format === 'gguf' ? reportPath(first) : undefined
  if (given !== undefined) return { path: given, content: await readReport(given) }
  const there = beside !== undefined && (await stat(beside).catch(() => undefined))?.isFile() === true
  return there ? { path: beside, content: await readReport(beside) } : undefined
}
