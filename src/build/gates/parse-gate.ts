import { MqError } from '../../errors/index.js'
import { type Gate, parseGate } from '../../verify/index.js'

/** A gate as a build file has it: on a number, or on what another output reaches. */
export type BuildGate =
  | { readonly kind: 'number'; readonly gate: Gate }
  | {
      readonly kind: 'output'
      readonly figure: string
      readonly bound: Gate['bound']
      /** The other output. */
      readonly other: string
      /** What its figure is multiplied by. */
      readonly factor: number
    }

const relative = /^\s*([\w.-]+)\s*(<=|>=)\s*(?:(\d+(?:\.\d*)?|\.\d+)\s*(%?)\s*\*\s*)?([A-Za-z0-9_][\w.-]*)\s*$/

/**
 * Reads a gate: as `mq verify --gate` takes it, or with the name of another output in place of the number, such as `kld<=small` or
 * `kld<=0.5*small`.
 * @throws MqError OPTION_INVALID.
 */
export function parseBuildGate(text: string): BuildGate {
  const fail = (problem: string): MqError => MqError.of('OPTION_INVALID', { option: 'gates', value: text, problem })
  let problem: MqError
  try {
    const gate = parseGate(text)
    if (gate.figure.startsWith('versus.')) {
      throw fail('in a build file another output is named as the limit, such as kld<=small')
    }
    return { kind: 'number', gate }
  } catch (error) {
    problem = MqError.from(error)
  }
  const [, figure, sign, digits, percent, other] = relative.exec(text) ?? []
  // What begins like a number and has no factor before it was meant as one.
  if (figure === undefined || other === undefined || (digits === undefined && /^[\d.]+(?:e[-+]?\d+)?%?$/i.test(other)))
    throw problem
  const factor = digits === undefined ? 1 : Number(digits) / (percent === '%' ? 100 : 1)
  if (!(factor > 0)) throw fail(`the factor ${digits} is not above 0`)
  // The figure and its short names are read where gates on numbers are.
  const known = parseGate(`${figure}${sign}${figure === 'size' ? '1B' : '1'}`)
  if (known.figure.startsWith('versus.')) throw problem
  return { kind: 'output', figure: known.figure, bound: known.bound, other, factor }
}
