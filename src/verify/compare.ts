import { join } from 'node:path'
import { parseShardName } from '../../formats/gguf/index.js'
import { MqError } from '../errors/index.js'
import { readText } from '../files/index.js'
import { cacheDirectory } from '../hub/index.js'
import { inStage, type WithProgress } from '../progress/index.js'
import { llamaVersion } from '../runner/index.js'
import type { BaseLogits } from './base-logits.js'
import { describeModel, type ModelFiles } from './describe-files.js'
import { findModels } from './find-models.js'
import { measureModel } from './measurement.js'
import { type CachedMeasurement, entryOf, type MeasurementIdentity, measurementCache } from './measurement-cache.js'
import { differenceOfChunks } from './paired.js'
import { dominators } from './pareto.js'
import { identifyReference, type MeasureOptions, openReference } from './reference.js'
import type { Measurement, Reference, VerifyReport } from './report.js'
import type { Estimate } from './statistics.js'

/** The models that are compared, and on what. */
export interface CompareOptions extends MeasureOptions {
  /** GGUF files, any shard of a split one, and folders of such. */
  readonly models: readonly string[]
  /** Where measurements are kept and found again; by default in the user's cache folder. */
  readonly cache?: string
  /** Measures again what was measured before. */
  readonly fresh?: boolean
}

/** One of the models, and what it is worth beside the others. */
export interface ComparedModel extends Measurement {
  /** The file's name without .gguf and the number of a shard; the path where two have the same. */
  readonly name: string
  readonly sizeBytes: number
  /** Whether it was measured now, and not found in the cache. */
  readonly measured: boolean
  /** Whether no other is both no larger and no further from the reference. */
  readonly onFront: boolean
  /** Where it is not on the front: the nearest to the reference among those no larger, and how much nearer, chunk by chunk. */
  readonly dominatedBy?: { readonly name: string; readonly kld: Estimate; readonly confidence: number }
}

/** What a comparison of models has found. */
export interface CompareReport {
  readonly version: 1
  readonly reference: Reference
  readonly text: VerifyReport['text']
  /** By size, the smallest first. */
  readonly models: readonly ComparedModel[]
  readonly notes: readonly string[]
  readonly llamaCpp: string
}

/**
 * Measures several models against one reference on one text, and finds those that are worth their size. What was measured before is
 * taken from the cache; the reference is run only where something is left to be measured, and each measurement is kept at once, so that
 * work that was stopped goes on where it was.
 * @throws MqError as verify does; CHECKPOINT_EMPTY where a folder holds no model.
 */
export async function* compareModels(options: CompareOptions): WithProgress<CompareReport> {
  const { cache = join(cacheDirectory(), 'verify'), fresh = false, chunks, threads, signal } = options
  const text = await readText(options.text, options)
  const besides = [options.against, options.againstLogits].filter((path) => path !== undefined)
  const { paths, notes: leftOut } = await findModels(options.models, besides)
  const notes = [...leftOut]
  const reference = await identifyReference(options)
  const models: ModelFiles[] = []
  for (const [done, path] of paths.entries()) {
    yield { stage: 'identify', done, total: paths.length, unit: 'files', item: path }
    models.push(await describeModel(path, signal))
  }

  const kept = measurementCache(cache)
  const identityOf = ({ files }: ModelFiles): MeasurementIdentity => ({
    model: files.map(({ sha256 }) => sha256),
    reference: reference.files.map(({ sha256 }) => sha256),
    text: text.sha256,
    contextLength: options.againstLogits === undefined ? (options.contextLength ?? 512) : undefined,
    chunks,
    llamaCpp: llamaVersion,
  })
  const entries: (CachedMeasurement & { readonly measured: boolean })[] = []
  let base: BaseLogits | undefined
  try {
    for (const [index, model] of models.entries()) {
      const known = fresh ? undefined : await kept.find(identityOf(model))
      if (known !== undefined) {
        // the same bytes may have another name by now
        entries.push({ ...known, measurement: { ...known.measurement, files: model.files }, measured: false })
        continue
      }
      base ??= yield* openReference(text.content, reference, options, paths)
      const work = measureModel(model, text.content, base, { chunks, threads, signal })
      const entry = entryOf(text, base, yield* inStage(`model ${index + 1} of ${models.length}`, work))
      entries.push({ ...entry, measured: true })
      await kept.keep(identityOf(model), entry).catch((error: unknown) => {
        notes.push(`The measurement is not kept: ${MqError.from(error).message}`)
      })
    }
  } finally {
    await base?.dispose()
  }

  const [first] = entries
  if (first === undefined) throw new TypeError('there are no models')
  const names = namesOf(models, paths)
  return {
    version: 1,
    reference: first.reference,
    text: { ...first.text, name: text.name },
    models: rank(entries.map(({ measurement, measured }, index) => ({ ...measurement, measured, name: names[index] ?? '' }))),
    notes,
    llamaCpp: first.llamaCpp,
  }
}

/** Sorts models by size and says which are on the Pareto front. */
export function rank(measured: readonly (Measurement & Pick<ComparedModel, 'name' | 'measured'>)[]): ComparedModel[] {
  const sized = measured
    .map((model) => ({ ...model, sizeBytes: model.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) }))
    .sort((a, b) => a.sizeBytes - b.sizeBytes || a.divergence.kld.mean.value - b.divergence.kld.mean.value)
  const found = dominators(sized.map(({ sizeBytes, divergence }) => ({ sizeBytes, kld: divergence.kld.mean.value })))
  return sized.map((model, index) => {
    const better = sized[found[index] ?? Number.NaN]
    if (better === undefined) return { ...model, onFront: true }
    const { confidence, ...kld } = differenceOfChunks(model.profile.chunks.kld, better.profile.chunks.kld)
    return { ...model, onFront: false, dominatedBy: { name: better.name, kld, confidence } }
  })
}

function namesOf(models: readonly ModelFiles[], paths: readonly string[]): string[] {
  const short = models.map(({ files }) => {
    const name = files[0]?.name ?? ''
    return parseShardName(name)?.stem ?? name.replace(/\.gguf$/, '')
  })
  return short.map((name, index) => (short.filter((other) => other === name).length > 1 ? (paths[index] ?? name) : name))
}
