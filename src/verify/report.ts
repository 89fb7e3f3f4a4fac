import { readFile, writeFile } from 'node:fs/promises'
import * as v from 'valibot'
import { MqError } from '../errors.js'

const estimate = v.object({ value: v.number(), standardError: v.number() })
const sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/))

const spreadEntries = {
  mean: estimate,
  median: v.number(),
  minimum: v.number(),
  maximum: v.number(),
  quantiles: v.record(v.string(), v.number()),
}

/** See Divergence in divergence.ts. */
const divergence = v.object({
  kld: v.object(spreadEntries),
  probabilityChange: v.object({ ...spreadEntries, rootMeanSquare: estimate }),
  sameTop: estimate,
  correlation: v.number(),
  kldOfChunks: v.array(v.number()),
})

const reportSchema = v.object({
  version: v.literal(1),
  /** The model that was measured; a split model lists every shard. */
  files: v.array(v.object({ name: v.string(), sha256, sizeBytes: v.number() })),
  bitsPerWeight: v.number(),
  /** What it was measured against; its size is not known where its logits came from a file. */
  reference: v.object({ name: v.string(), sizeBytes: v.optional(v.number()), perplexity: estimate }),
  text: v.object({ name: v.string(), sha256, contextLength: v.number(), chunks: v.number(), scoredTokens: v.number() }),
  perplexity: estimate,
  /** What a llama-perplexity of the user's own says of the model; it prints four decimals. */
  external: v.optional(v.object({ program: v.string(), perplexity: v.number(), standardError: v.optional(v.number()) })),
  /** perplexity / reference perplexity over the same tokens. */
  perplexityRatio: estimate,
  /** How far its predictions are from the reference's; reports of early versions lack it. */
  divergence: v.optional(divergence),
  /** Another model on the same chunks, and how far the measured one is from it; see PairedDifference in paired.ts. */
  versus: v.optional(
    v.object({
      name: v.string(),
      sizeBytes: v.number(),
      perplexity: estimate,
      kld: estimate,
      sameTop: estimate,
      difference: v.object({ kld: estimate, logPerplexity: estimate, confidence: v.number() }),
    }),
  ),
  /** `bound` says whether the limit is the most, as where it is absent, or the least that passes. */
  gates: v.array(
    v.object({
      name: v.string(),
      value: v.number(),
      limit: v.number(),
      bound: v.optional(v.picklist(['most', 'least'])),
      passed: v.boolean(),
    }),
  ),
  /** Whether every gate was passed. */
  passed: v.boolean(),
  llamaCpp: v.string(),
})

/** What `mq verify` measured, as it stands in a `.verify.json` file and is attached to a published model. */
export type VerifyReport = v.InferOutput<typeof reportSchema>

/** The report's place beside a model: `model.gguf.verify.json`. */
export function reportPath(model: string): string {
  return `${model}.verify.json`
}

export async function writeReport(path: string, report: VerifyReport): Promise<void> {
  await writeFile(path, `${JSON.stringify(report, undefined, 2)}\n`).catch((error: unknown) => {
    throw MqError.from(error, path)
  })
}

/** Reads a report that `mq verify` wrote. @throws MqError REPORT_INVALID, FILE_MISSING. */
export async function readReport(path: string): Promise<VerifyReport> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw MqError.from(error, path)
  })
  try {
    return v.parse(reportSchema, JSON.parse(text))
  } catch (error) {
    throw MqError.of(
      'REPORT_INVALID',
      { file: path, problem: error instanceof Error ? error.message : String(error) },
      { cause: error },
    )
  }
}
