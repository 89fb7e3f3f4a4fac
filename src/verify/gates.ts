import { MqError } from '../errors.js'
import type { VerifyReport } from './report.js'

/** Limits that a model must keep to be published. */
export interface Gates {
  /** Perplexity over the reference's perplexity. */
  readonly maxPerplexityRatio?: number
  /** Mean Kullback-Leibler divergence from the reference, in nats. */
  readonly maxKld?: number
  /** Share of positions, 0 to 1, where model and reference hold the same token for the likeliest. */
  readonly minSameTop?: number
}

export type GateResult = VerifyReport['gates'][number]

/** What gates look at. */
export interface Measured {
  readonly perplexityRatio: number
  readonly kld: number
  readonly sameTop: number
}

/** Holds what was measured against the limits. A NaN passes nothing. */
export function checkGates(gates: Gates, measured: Measured): GateResult[] {
  const atMost = (name: string, value: number, limit: number | undefined): GateResult[] =>
    limit === undefined ? [] : [{ name, value, limit, bound: 'most', passed: value <= limit }]
  const atLeast = (name: string, value: number, limit: number | undefined): GateResult[] =>
    limit === undefined ? [] : [{ name, value, limit, bound: 'least', passed: value >= limit }]
  return [
    ...atMost('perplexity ratio', measured.perplexityRatio, gates.maxPerplexityRatio),
    ...atMost('mean KL divergence', measured.kld, gates.maxKld),
    ...atLeast('share of same top tokens', measured.sameTop, gates.minSameTop),
  ]
}

/** The error for the first gate that was not passed; undefined where all were. */
export function gateError({ gates }: VerifyReport): MqError | undefined {
  const failed = gates.find(({ passed }) => !passed)
  if (failed === undefined) return undefined
  return MqError.of('GATE_FAILED', { what: `The ${failed.name}`, value: failed.value.toFixed(4), limit: limitText(failed) })
}

/** `at most 1.05`. */
export function limitText({ bound = 'most', limit }: GateResult): string {
  return `at ${bound} ${limit}`
}
