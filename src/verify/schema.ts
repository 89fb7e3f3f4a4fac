import * as v from 'valibot'

/** The pieces that reports are made of. Reports of early versions lack what is optional here. */

/** JSON has null for what is infinite or no number, such as the error of a single chunk. */
export const figure = v.pipe(
  v.nullable(v.number()),
  v.transform((value) => value ?? Number.NaN),
)
export const estimate = v.object({ value: figure, standardError: figure })

const sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/))
export const fileIdentity = v.object({ name: v.string(), sha256, sizeBytes: v.number() })

const spreadEntries = {
  mean: estimate,
  median: v.number(),
  minimum: v.number(),
  maximum: v.number(),
  quantiles: v.record(v.string(), v.number()),
  quantileErrors: v.optional(v.record(v.string(), v.number())),
}

/** See Divergence in divergence.ts. */
export const divergence = v.object({
  kld: v.object(spreadEntries),
  probabilityChange: v.object({ ...spreadEntries, rootMeanSquare: estimate }),
  sameTop: estimate,
  correlation: v.number(),
  kldOfChunks: v.array(v.number()),
})

const numbers = v.array(v.number())
const meansEntries = {
  negativeLogLikelihood: numbers,
  referenceNegativeLogLikelihood: numbers,
  kld: numbers,
  sameTop: numbers,
}
const histogram = v.object({ edges: numbers, counts: numbers, below: v.number(), above: v.number() })

/** See Profile in profile.ts. */
export const profile = v.object({
  chunks: v.object(meansEntries),
  positions: v.object({ first: v.number(), ...meansEntries }),
  histograms: v.object({ kld: histogram, probabilityChange: histogram }),
})

/** A model's own figures against a reference on a text. */
export const measurement = v.object({
  /** The model that was measured; a split model lists every shard. */
  files: v.array(fileIdentity),
  bitsPerWeight: v.number(),
  perplexity: estimate,
  /** perplexity / reference perplexity over the same tokens. */
  perplexityRatio: estimate,
  divergence,
  profile,
})

/** What a model was measured against; its size is not known where its logits came from a file. */
export const reference = v.object({
  name: v.string(),
  sizeBytes: v.optional(v.number()),
  /** The files that it was read from: of a model, of a checkpoint, or of base logits. */
  files: v.optional(v.array(fileIdentity)),
  bitsPerWeight: v.optional(v.number()),
  perplexity: estimate,
})

export const textMeasured = v.object({
  name: v.string(),
  sha256,
  contextLength: v.number(),
  chunks: v.number(),
  scoredTokens: v.number(),
})
