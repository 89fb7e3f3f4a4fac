/** What a probe found, beside what was expected of it. */
export interface Probed {
  /** Divergence that giving the group back its precision saves, chunk by chunk. */
  readonly saved: readonly number[]
  /** Sum over its tensors of sensitivity times damage, as expected: the same in other units. */
  readonly expected: number
}

/** How far the expectation is believed: the standard deviation of the true ratio about 1. */
const spread = 1
/** Ratios outside these are taken for accidents. */
const [least, most] = [0.2, 5]

/**
 * For each group, by what its sensitivity is to be multiplied: what was saved over what was expected, drawn towards 1 by as much as chunks
 * disagree (the mean of a normal distribution with a normal prior). All expectations are first brought to the same sum as what was saved.
 */
export function fitSensitivities(probes: readonly Probed[]): number[] {
  const saved = probes.map((probe) => mean(probe.saved))
  const scale = sum(saved) / (sum(probes.map(({ expected }) => expected)) || 1)
  if (!(scale > 0)) return probes.map(() => 1)
  return probes.map((probe, index) => {
    const expected = scale * probe.expected
    if (!(expected > 0)) return 1
    const chunks = probe.saved.length
    const variance =
      chunks < 2
        ? 1
        : sum(probe.saved.map((one) => (one - (saved[index] as number)) ** 2)) / (chunks - 1) / chunks / expected ** 2
    const trust = spread ** 2 / (spread ** 2 + variance)
    return Math.min(most, Math.max(least, 1 + trust * ((saved[index] as number) / expected - 1)))
  })
}

function mean(values: readonly number[]): number {
  return sum(values) / Math.max(1, values.length)
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
