import { MqError } from '../errors.js'
import type { VerifyReport } from './report.js'

/** Limits that a model must keep to be published. */
export interface Gates {
  /** Perplexity over the reference's perplexity. */
  readonly maxPerplexityRatio?: number
}

export type GateResult = VerifyReport['gates'][number]

/** Holds what was measured against the limits. */
export function checkGates(gates: Gates, measured: { perplexityRatio: number }): GateResult[] {
  const results: GateResult[] = []
  if (gates.maxPerplexityRatio !== undefined) {
    const [value, limit] = [measured.perplexityRatio, gates.maxPerplexityRatio]
    // a NaN passes nothing
    results.push({ name: 'perplexity ratio', value, limit, passed: value <= limit })
  }
  return results
}

/** The error for the first gate that was not passed; undefined where all were. */
export function gateError({ gates }: VerifyReport): MqError | undefined {
  const failed = gates.find(({ passed }) => !passed)
  if (failed === undefined) return undefined
  return MqError.of('GATE_FAILED', {
    what: `The ${failed.name}`,
    value: failed.value.toFixed(4),
    limit: `at most ${failed.limit}`,
  })
}
