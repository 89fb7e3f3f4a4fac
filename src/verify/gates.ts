import { MqError } from '../errors/index.js'
import { percent } from '../report/index.js'
import { readSize } from '../terminal/index.js'
import { figures, isShare } from './figures.js'
import type { VerifyReport } from './report.js'
import { studentBound } from './student.js'

/** A limit on a figure; a model whose gate failed is not published. */
export interface Gate {
  /** A name in `figures`. */
  readonly figure: string
  readonly bound: 'most' | 'least'
  readonly limit: number
}

/** A gate with what was measured. */
export type GateResult = VerifyReport['gates'][number]

/** Short names of frequent figures. */
const aliases: Readonly<Record<string, string>> = { kld: 'kld.mean', dp: 'dp.mean' }

/**
 * Reads a gate from its text: a figure, `<=` or `>=`, and a number, which may end in `%` (or in a unit of bytes for the
 * size): `kld.q99<=0.5`, `same-top>=90%`, `size<=3GB`.
 * @throws MqError OPTION_INVALID.
 */
export function parseGate(text: string): Gate {
  const fail = (problem: string): MqError => MqError.of('OPTION_INVALID', { option: 'gates', value: text, problem })
  const [, name, sign, number] = /^\s*([\w.-]+)\s*(<=|>=)\s*(.+?)\s*$/.exec(text) ?? []
  if (name === undefined || number === undefined) throw fail("write a figure, <= or >=, and a number, such as 'kld.q99<=0.5'")
  const figure = aliases[name] ?? name
  if (!figures.has(figure)) throw fail(`there is no figure ${name}; known are ${[...figures.keys()].join(', ')}`)
  const bound = sign === '<=' ? 'most' : 'least'
  if (figure === 'size') {
    const sizeBytes = readSize(number)
    if (sizeBytes === undefined) throw fail(`${number} is not a size such as 3GB`)
    return { figure, bound, limit: sizeBytes }
  }
  const [, digits, percent] = /^([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*(%?)$/i.exec(number) ?? []
  const limit = Number(digits) / (percent === '%' ? 100 : 1)
  if (!Number.isFinite(limit)) throw fail(`${number} is not a number`)
  return { figure, bound, limit }
}

/**
 * Refuses gates that cannot be checked, before anything is measured.
 * @throws MqError OPTION_INVALID where a gate needs another model and there is none, or `confidence` and there is no standard error.
 */
export function checkAskedGates(
  gates: readonly Gate[],
  { confidence, versus }: { readonly confidence?: number; readonly versus: boolean },
): void {
  if (confidence !== undefined && !(confidence >= 0.5 && confidence < 1)) {
    const problem = 'a confidence is at least 50% and less than 100%'
    throw MqError.of('OPTION_INVALID', { option: 'confidence', value: confidence, problem })
  }
  for (const { figure } of gates) {
    const fail = (problem: string): MqError => MqError.of('OPTION_INVALID', { option: 'gates', value: figure, problem })
    if (figure.startsWith('versus.') && !versus) throw fail('it needs another model to compare with (versus)')
    if (confidence !== undefined && withoutError.test(figure)) {
      throw fail('it has no standard error, which a confidence needs')
    }
  }
}

const withoutError = /\.(min|max)$|^(correlation|bits|size)$/

/**
 * Checks a report against gates. A figure passes if it is not beyond its limit; with `confidence`, if its one-sided confidence bound (Student's t)
 * is not. NaN and missing figures fail.
 */
export function checkGates(
  gates: readonly Gate[],
  report: Omit<VerifyReport, 'gates' | 'passed'>,
  confidence?: number,
): GateResult[] {
  return gates.map(({ figure: name, bound, limit }) => {
    const kind = figures.get(name)
    const { value = Number.NaN, standardError, degrees } = kind?.of({ ...report, gates: [], passed: false }) ?? {}
    const margin = confidence === undefined ? 0 : studentBound(confidence, degrees ?? 0) * (standardError ?? Number.NaN)
    const { edge, passed } = withinLimit(value, margin, bound, limit)
    return {
      name: kind?.label ?? name,
      figure: name,
      value,
      standardError,
      limit,
      bound,
      ...(confidence === undefined ? {} : { confidence, edge }),
      passed,
    }
  })
}

/** Whether a value that may be off by `margin` is not beyond its limit: its edge is the worse of the two ends. NaN never is. */
export function withinLimit(
  value: number,
  margin: number,
  bound: Gate['bound'],
  limit: number,
): { readonly edge: number; readonly passed: boolean } {
  const edge = bound === 'most' ? value + margin : value - margin
  return { edge, passed: bound === 'most' ? edge <= limit : edge >= limit }
}

/** The error for the first gate that failed; undefined where all passed. */
export function gateError({ gates }: Pick<VerifyReport, 'gates'>): MqError | undefined {
  const failed = gates.find(({ passed }) => !passed)
  if (failed === undefined) return undefined
  return MqError.of('GATE_FAILED', { what: `The ${failed.name}`, value: gateValue(failed), limit: limitText(failed) })
}

/** `0.0512`, and with a confidence `0.0512, with 95 % confidence up to 0.0530`. */
export function gateValue({ figure = '', value, bound, confidence, edge }: GateResult): string {
  const figureText = (one: number): string => (isShare(figure) ? `${(100 * one).toFixed(3)} %` : fourDigits(one))
  if (confidence === undefined || edge === undefined) return figureText(value)
  return `${figureText(value)}, with ${Number((100 * confidence).toPrecision(6))} % confidence ${bound === 'least' ? 'from' : 'up to'} ${figureText(edge)}`
}

/** `at most 1.05`, `at least 90 %`. */
export function limitText({ bound = 'most', limit, figure = '' }: GateResult): string {
  return `at ${bound} ${isShare(figure) ? percent(limit) : limit}`
}

/** Four decimals, more of them where the figure is small. */
function fourDigits(value: number): string {
  return Math.abs(value) < 0.01 && value !== 0 ? String(Number(value.toPrecision(4))) : value.toFixed(4)
}
