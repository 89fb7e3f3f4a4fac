import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { readText, readWhole, writeWhole } from '../files/index.js'
import type { WithProgress } from '../progress/index.js'
import type { ChunkRange, LoadModel, LogitsComparison } from '../runner/index.js'
import { type BaseLogits, makeBaseLogits } from './base-logits.js'
import { describeModel, describeWeights } from './describe-files.js'
import type { GateResult } from './gates.js'
import { measuredOf, measureModel } from './measurement.js'
import { type CachedMeasurement, entryOf, entrySchema } from './measurement-cache.js'
import { type FileIdentity, parseJson, reportJson, type VerifyReport } from './report.js'
import { fileIdentity } from './schema.js'

/** Files that keepReference writes. */
export const keptReferenceFiles = ['base.logits', 'likelihoods.f64', 'reference.json'] as const
const [logitsName, likelihoodsName, describedName] = keptReferenceFiles

const describedSchema = v.object({
  version: v.literal(1),
  name: v.string(),
  files: v.array(fileIdentity),
  bitsPerWeight: v.optional(v.number()),
  sizeBytes: v.optional(v.number()),
})

/** A reference that is run over a text. */
export interface KeepReferenceOptions {
  /** A GGUF file. */
  readonly path: string
  /** What reports call it, and what it was made from. */
  readonly name: string
  readonly files: readonly FileIdentity[]
  readonly text: string
  readonly contextLength?: number
  readonly chunks?: number
  /** Only these of the chunks: one of batchGroups. joinReferences makes the whole of all of them. */
  readonly range?: ChunkRange | undefined
  /** Where its files go; it exists. */
  readonly folder: string
  /** Loads the model; by default loadModel. */
  readonly load?: LoadModel | undefined
  readonly threads?: number
  readonly signal?: AbortSignal
}

/**
 * Runs a reference over a text and keeps all that later measurements need of it: base logits, and -ln p of each token, which these lose where
 * it is large.
 * @throws MqError as makeBaseLogits does.
 */
export async function* keepReference(options: KeepReferenceOptions): WithProgress<void> {
  const { path, name, files, folder, contextLength = 512, chunks, range, load, threads, signal } = options
  const { content } = await readText(options.text, { chunks, contextLength })
  const described = await describeWeights(path)
  const logits = join(folder, logitsName)
  const base = yield* makeBaseLogits({
    reference: { ...described, path, files: [...files] },
    text: content,
    contextLength,
    save: logits,
    chunks,
    range,
    load,
    threads,
    signal,
  })
  const likelihoods = base.negativeLogLikelihoods ?? new Float64Array()
  await writeFile(join(folder, likelihoodsName), likelihoodBytes(likelihoods))
  const { bitsPerWeight, sizeBytes } = base
  await writeWhole(join(folder, describedName), reportJson({ version: 1, name, files, bitsPerWeight, sizeBytes }))
}

/** -ln p of each token as a file holds them: f64, little-endian. */
export function likelihoodBytes({ buffer, byteOffset, byteLength }: Float64Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}

/** @param folder of keepReference. */
export async function likelihoodsOf(folder: string): Promise<Float64Array> {
  const bytes = await readFile(join(folder, likelihoodsName))
  return new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength))
}

/**
 * Measures a model against a reference that was kept.
 * @param folder of keepReference.
 * @param text the same text.
 * @param means.comparison what joinComparisons joined, where it was compared already.
 * @throws MqError as verify does; REPORT_INVALID where the folder holds something else.
 */
export async function* measureKept(
  folder: string,
  model: string,
  text: string,
  means: Pick<KeepReferenceOptions, 'contextLength' | 'chunks' | 'load' | 'threads' | 'signal'> & {
    readonly comparison?: LogitsComparison | undefined
  },
): WithProgress<CachedMeasurement> {
  const { contextLength, chunks, load, threads, signal, comparison } = means
  const path = join(folder, describedName)
  const described = parseJson(describedSchema, await readWhole(path, 2 ** 24), path)
  const negativeLogLikelihoods = await likelihoodsOf(folder)
  const { version: _, ...rest } = described
  const base: BaseLogits = { path: join(folder, logitsName), ...rest, negativeLogLikelihoods, dispose: async () => {} }
  const read = await readText(text, { chunks, contextLength })
  const file = await describeModel(model, signal)
  if (comparison !== undefined) return entryOf(read, base, measuredOf(file, base, comparison))
  return entryOf(read, base, yield* measureModel(file, read.content, base, { chunks, load, threads, signal }))
}

/** The text of a measurement's file. */
export function measurementJson(measurement: CachedMeasurement): string {
  return reportJson({ version: 1, ...measurement })
}

/** Reads what measurementJson wrote. @param name of the file, for messages. @throws MqError REPORT_INVALID. */
export function parseMeasurement(text: string, name: string): CachedMeasurement {
  const { version: _, ...measurement } = parseJson(entrySchema, text, name)
  return measurement
}

/** A report as `mq verify` makes it, of a measurement and the results of its gates. */
export function reportOfMeasurement(
  { measurement, ...rest }: CachedMeasurement,
  gates: readonly GateResult[] = [],
): VerifyReport {
  return { version: 1, ...measurement, ...rest, gates: [...gates], passed: gates.every(({ passed }) => passed) }
}
