import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type CachedMeasurement, dominators, type GateResult, parseMeasurement } from '../../verify/index.js'
import type { ModelSpec } from '../file/build-spec.js'
import type { OutputGate } from '../gates/check-gates.js'
import type { Publication } from '../publish/publish-outputs.js'
import type { StepRecord } from '../work/work-folder.js'

/** What was made of one output. */
export interface BuiltOutput {
  readonly name: string
  /** The file, or the first shard. */
  readonly path: string
  readonly files: readonly { readonly name: string; readonly sizeBytes: number; readonly sha256: string }[]
  readonly sizeBytes: number
  readonly bitsPerWeight: number
  /** What was asked for, in words. */
  readonly goal: string
  readonly plan: string
  /** Whether no other output of the model is as small and nearer to the reference; absent where nothing is measured. */
  readonly onFront?: boolean
  readonly dominatedBy?: string
  readonly measurement?: CachedMeasurement
  readonly gates: readonly GateResult[]
  readonly notes: readonly string[]
}

/** What was made of one model. */
export interface BuiltModel {
  readonly name: string
  readonly source: string
  readonly outputs: readonly BuiltOutput[]
}

/** What a build has come to. */
export interface BuildReport {
  readonly version: 1
  readonly title: string
  /** The build file. */
  readonly file: string
  readonly mq: string
  readonly models: readonly BuiltModel[]
  /** Whether every gate was passed. */
  readonly passed: boolean
  readonly publications: readonly Publication[]
  readonly steps: { readonly total: number; readonly known: number; readonly run: number }
  readonly seconds: number
  /** Folder of results, and the summaries that were written. */
  readonly work: string
  readonly summaries: readonly string[]
}

/** `All 3 gates passed`; undefined where there are none. */
export function verdictOf({ models, passed }: Pick<BuildReport, 'models' | 'passed'>): string | undefined {
  const gates = models.flatMap(({ outputs }) => outputs.flatMap((output) => output.gates))
  if (gates.length === 0) return undefined
  if (passed) return `${gates.length === 1 ? 'The gate' : `All ${gates.length} gates`} passed`
  const failed = gates.filter((gate) => !gate.passed)
  return `${failed.length} of ${gates.length} gates failed: nothing was published`
}

/** Reads what the steps of a model have made. @throws MqError REPORT_INVALID and the like for damaged files. */
export async function readOutputs(
  { key, outputs }: ModelSpec,
  records: ReadonlyMap<string, StepRecord>,
): Promise<Omit<BuiltOutput, 'gates'>[]> {
  const read = await Promise.all(
    Object.keys(outputs).map(async (name) => {
      const [plan, file, measured] = ['plan', 'quantize', 'measure'].map((kind) => records.get(`${key}/${kind}/${name}`))
      if (plan === undefined || file === undefined) throw new RangeError(`${key}/${name} was not made`)
      const { goal, notes: planned } = plan.result as { goal: string; notes: string[] }
      const { bitsPerWeight, notes: written } = file.result as { bitsPerWeight: number; notes: string[] }
      return {
        name,
        path: join(file.folder, file.files[0]?.name ?? ''),
        files: file.files,
        sizeBytes: file.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
        bitsPerWeight,
        goal,
        plan: join(plan.folder, plan.files[0]?.name ?? ''),
        measurement: measured && (await readMeasurement(measured)),
        notes: [...new Set([...planned, ...written])],
      }
    }),
  )
  const tradeoffs = read.map(({ sizeBytes, measurement }) => ({ sizeBytes, kld: kldOf(measurement) }))
  const found = dominators(tradeoffs)
  return read.map((output, index) => {
    const better = read[found[index] ?? Number.NaN]
    if (output.measurement === undefined) return output
    return { ...output, onFront: better === undefined, dominatedBy: better?.name }
  })
}

/** An output with the results of its gates. */
export function withGates(output: Omit<BuiltOutput, 'gates'>, gates: readonly OutputGate[]): BuiltOutput {
  return { ...output, gates: gates.filter((gate) => gate.output === output.name).map(({ result }) => result) }
}

function kldOf(measurement: CachedMeasurement | undefined): number {
  return measurement?.measurement.divergence.kld.mean.value ?? Number.NaN
}

async function readMeasurement({ folder, files }: StepRecord): Promise<CachedMeasurement> {
  const path = join(folder, files[0]?.name ?? '')
  return parseMeasurement(await readFile(path, 'utf8'), path)
}
