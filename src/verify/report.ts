import * as v from 'valibot'
import { MqError } from '../errors/index.js'
import { readWhole, writeWhole } from '../files/index.js'
import { divergence, estimate, figure, fileIdentity, measurement, profile, reference, textMeasured } from './schema.js'

const reportSchema = v.object({
  ...measurement.entries,
  version: v.literal(1),
  reference,
  text: textMeasured,
  /** What a llama-perplexity of the user's own says of the model; it prints four decimals. */
  external: v.optional(v.object({ program: v.string(), perplexity: v.number(), standardError: v.optional(v.number()) })),
  /** How far its predictions are from the reference's; reports of early versions lack it. */
  divergence: v.optional(divergence),
  /** The same by chunk and by position in it, and as histograms. */
  profile: v.optional(profile),
  /** Another model on the same chunks, and how far the measured one is from it; see PairedDifference in paired.ts. */
  versus: v.optional(
    v.object({
      ...v.partial(measurement, ['files', 'bitsPerWeight', 'perplexityRatio', 'divergence', 'profile']).entries,
      name: v.string(),
      sizeBytes: v.number(),
      kld: estimate,
      sameTop: estimate,
      difference: v.object({ kld: estimate, logPerplexity: estimate, confidence: v.number() }),
    }),
  ),
  /** `bound` says whether the limit is the most, as where it is absent, or the least that passes. */
  gates: v.array(
    v.object({
      name: v.string(),
      /** The figure by its name in figures.ts. */
      figure: v.optional(v.string()),
      value: figure,
      standardError: v.optional(figure),
      limit: v.number(),
      bound: v.optional(v.picklist(['most', 'least'])),
      /** The one-sided confidence that was asked for, and what the figure keeps with it. */
      confidence: v.optional(v.number()),
      edge: v.optional(figure),
      passed: v.boolean(),
    }),
  ),
  /** Whether every gate was passed. */
  passed: v.boolean(),
  llamaCpp: v.string(),
})

/** What `mq verify` measured, as it stands in a `.verify.json` file and is attached to a published model. */
export type VerifyReport = v.InferOutput<typeof reportSchema>
/** A file by name, SHA-256 and size in bytes. */
export type FileIdentity = v.InferOutput<typeof fileIdentity>
/** What was measured of one model. */
export type Measurement = v.InferOutput<typeof measurement>
/** The model that others are compared with. */
export type Reference = v.InferOutput<typeof reference>

/** The report's place beside a model: `model.gguf.verify.json`. */
export function reportPath(model: string): string {
  return `${model}.verify.json`
}

/** @throws MqError FILE_UNWRITABLE, DISK_FULL. */
export async function writeReport(path: string, report: VerifyReport): Promise<void> {
  await writeWhole(path, reportJson(report))
}

/** JSON with rows of figures on one line. */
export function reportJson(report: unknown): string {
  return `${JSON.stringify(report, undefined, 2).replaceAll(/\[[-\d\s.,e+]+\]/g, (row) => row.replaceAll(/\s+/g, ' '))}\n`
}

/** A report has some 100 KB. */
const maxReportBytes = 2 ** 26

/** Reads a report that `mq verify` wrote. @throws MqError REPORT_INVALID, TEXT_TOO_LARGE, FILE_MISSING. */
export async function readReport(path: string): Promise<VerifyReport> {
  return parseReport(await readWhole(path, maxReportBytes), path)
}

/** Reads the text of a report. @param name of the file, for messages. @throws MqError REPORT_INVALID. */
export function parseReport(text: string, name: string): VerifyReport {
  return parseJson(reportSchema, text, name)
}

/** Reads JSON of a form that reports have in common with files beside them. @param name of the file. @throws MqError REPORT_INVALID. */
export function parseJson<Schema extends v.GenericSchema>(schema: Schema, text: string, name: string): v.InferOutput<Schema> {
  try {
    return v.parse(schema, JSON.parse(text))
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error)
    throw MqError.of('REPORT_INVALID', { file: name, problem }, { cause: error })
  }
}
