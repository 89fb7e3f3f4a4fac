import { readFile, writeFile } from 'node:fs/promises'
import * as v from 'valibot'
import { MqError } from '../errors.js'

const estimate = v.object({ value: v.number(), standardError: v.number() })
const sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/))

const reportSchema = v.object({
  version: v.literal(1),
  /** The model that was measured; a split model lists every shard. */
  files: v.array(v.object({ name: v.string(), sha256, sizeBytes: v.number() })),
  bitsPerWeight: v.number(),
  /** What it was measured against. */
  reference: v.object({ name: v.string(), sizeBytes: v.number(), perplexity: estimate }),
  text: v.object({ name: v.string(), sha256, contextLength: v.number(), chunks: v.number(), scoredTokens: v.number() }),
  perplexity: estimate,
  /** perplexity / reference perplexity over the same tokens. */
  perplexityRatio: estimate,
  gates: v.array(v.object({ name: v.string(), value: v.number(), limit: v.number(), passed: v.boolean() })),
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
