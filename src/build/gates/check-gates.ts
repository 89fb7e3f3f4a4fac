import { MqError } from '../../errors/index.js'
import { readShare } from '../../terminal/index.js'
import {
  type CachedMeasurement,
  checkGates,
  differenceOfChunks,
  type FileIdentity,
  figures,
  type GateResult,
  gateValue,
  limitText,
  reportOfMeasurement,
  studentBound,
  type VerifyReport,
  withinLimit,
} from '../../verify/index.js'
import type { ModelSpec } from '../file/build-spec.js'
import type { Place } from '../file/read-fields.js'
import { type BuildGate, parseBuildGate } from './parse-gate.js'

/** What is known of an output. */
export interface MeasuredOutput {
  readonly files: readonly FileIdentity[]
  readonly bitsPerWeight: number
  /** Absent where there is no test. */
  readonly measurement?: CachedMeasurement
}

/** A gate's result for one output. */
export interface OutputGate {
  readonly output: string
  readonly result: GateResult
  /** Of the gate in the build file. */
  readonly place: Place
}

/** Checks all gates of a model. @param outputs all of the model, by name. */
export function checkModelGates({ gates, placeOf }: ModelSpec, outputs: ReadonlyMap<string, MeasuredOutput>): OutputGate[] {
  return gates.flatMap(({ gate: text, outputs: names, confidence: share }, index) => {
    const gate = parseBuildGate(text)
    const confidence = share === undefined ? undefined : readShare(share)
    const others = [...outputs.keys()].filter((name) => gate.kind === 'number' || name !== gate.other)
    return (names ?? others).map((output) => {
      const own = outputs.get(output) as MeasuredOutput
      const result =
        gate.kind === 'number'
          ? (checkGates([gate.gate], reportOf(own), confidence)[0] as GateResult)
          : outputResult(own, outputs.get(gate.other) as MeasuredOutput, gate, confidence)
      return { output, result, place: placeOf(['gates', index]) }
    })
  })
}

/** An output against another: the same figure of it, with a factor, is the limit. A confidence is that of their difference by chunk. */
function outputResult(
  own: MeasuredOutput,
  other: MeasuredOutput,
  { figure, bound, other: name, factor }: Extract<BuildGate, { kind: 'output' }>,
  confidence: number | undefined,
): GateResult {
  const kind = figures.get(figure)
  const valueOf = (one: MeasuredOutput): number => kind?.of(reportOf(one))?.value ?? Number.NaN
  const [value, limit] = [valueOf(own), factor * valueOf(other)]
  const margin = confidence === undefined ? 0 : marginOf(own, other, confidence)
  const { edge, passed } = withinLimit(value, margin, bound, limit)
  return {
    name: `${kind?.label ?? figure} against ${factor === 1 ? '' : `${factor} times `}that of ${name}`,
    figure,
    value,
    limit: Number(limit.toPrecision(6)),
    bound,
    ...(confidence === undefined ? {} : { confidence, edge }),
    passed,
  }
}

/** How far the difference of the divergences of two models may be off, one-sided, by Student's t over the chunks. */
function marginOf(own: MeasuredOutput, other: MeasuredOutput, confidence: number): number {
  const chunks = [own, other].map(({ measurement }) => measurement?.measurement.profile.chunks.kld ?? [])
  const [first = [], second = []] = chunks
  return studentBound(confidence, first.length - 1) * differenceOfChunks(first, second).standardError
}

/** Figures of a file that was not measured are its size and bits per weight; all others are absent, and fail. */
function reportOf({ measurement, files, bitsPerWeight }: MeasuredOutput): VerifyReport {
  return measurement === undefined
    ? ({ files, bitsPerWeight, text: {}, gates: [], passed: false } as unknown as VerifyReport)
    : reportOfMeasurement(measurement)
}

/** The error of the gates that failed; undefined where all passed. @param gates of all models. */
export function gatesError(gates: readonly (OutputGate & { readonly model: string })[]): MqError | undefined {
  const failed = gates.filter(({ result }) => !result.passed)
  const [first] = failed
  if (first === undefined) return undefined
  const { model, output, result, place } = first
  const more = failed.length === 1 ? '' : `; ${failed.length - 1} more failed`
  return MqError.of('GATE_FAILED', {
    what: `The ${result.name} of ${model}/${output}`,
    value: gateValue(result),
    limit: `${limitText(result)} (line ${place.line} of the build file${more})`,
  })
}
