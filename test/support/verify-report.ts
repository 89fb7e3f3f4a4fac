import type { LogitsComparison } from '../../src/runner/index.js'
import { divergenceOf } from '../../src/verify/divergence.js'
import type { VerifyReport } from '../../src/verify/index.js'
import { profileOf } from '../../src/verify/profile.js'

type Estimate = VerifyReport['perplexity']

/** A comparison with figures that look like those of a model; the same for the same `strength`. */
export function exampleComparison(chunks = 6, contextLength = 32, strength = 1): LogitsComparison {
  const count = chunks * (contextLength / 2 - 1)
  const wave = (index: number, step: number): number => Math.sin(index * step) ** 2
  return {
    contextLength,
    chunks,
    negativeLogLikelihoods: Float64Array.from(
      { length: count },
      (_, index) => 3 + 2 * wave(index, 1.3) + 0.1 * strength * wave(index, 0.7),
    ),
    baseNegativeLogLikelihoods: Float64Array.from({ length: count }, (_, index) => 3 + 2 * wave(index, 1.3)),
    divergences: Float64Array.from({ length: count }, (_, index) => strength * 10 ** (-4 + 3 * wave(index, 0.9))),
    probabilityChanges: Float32Array.from({ length: count }, (_, index) => strength * 0.1 * Math.sin(index * 2.1) ** 3),
    sameTop: Uint8Array.from({ length: count }, (_, index) => (index % 7 < 6 ? 1 : 0)),
  }
}

/** A report as verify makes it, with some of its figures given. */
export function exampleReport({
  scoredTokens = 1000,
  kld,
}: {
  readonly scoredTokens?: number
  readonly kld?: Estimate
}): VerifyReport {
  const comparison = exampleComparison()
  const divergence = divergenceOf(comparison)
  const estimate = { value: 1, standardError: 0.1 }
  const file = { name: 'm.gguf', sha256: 'a'.repeat(64), sizeBytes: 1000 }
  return {
    version: 1,
    files: [file],
    bitsPerWeight: 4.5,
    reference: { name: 'f16.gguf', sizeBytes: 4000, files: [{ ...file, name: 'f16.gguf' }], perplexity: estimate },
    text: { name: 'held-out.txt', sha256: 'b'.repeat(64), contextLength: 32, chunks: 6, scoredTokens },
    perplexity: estimate,
    perplexityRatio: estimate,
    divergence: kld === undefined ? divergence : { ...divergence, kld: { ...divergence.kld, mean: kld } },
    profile: profileOf(comparison),
    gates: [],
    passed: true,
    llamaCpp: '0.5.0',
  }
}
