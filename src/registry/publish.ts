import { stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { MqError } from '../errors/index.js'
import type { WithProgress } from '../progress/index.js'
import { readReport, reportPath, type VerifyReport } from '../verify/index.js'
import { addManifest, fileLayer, reportLayer } from './model-manifest.js'
import { inspectSource, type Source } from './source.js'
import {
  addBytes,
  addFile,
  annotations,
  type Descriptor,
  encodeJson,
  mediaTypes,
  openStore,
  parseModelName,
  prepareStore,
  repositoryOf,
  sweepTemporaries,
  updateIndex,
} from './store/index.js'

export interface PublishOptions {
  /** A .gguf file, one shard of a split model (all of them are published), or a folder with a checkpoint. */
  readonly source: string
  /** `NAMESPACE/NAME` or `NAMESPACE/NAME:TAG`. Without a tag: what the GGUF's name or contents say, such as Q4_K_M; `main` for a folder. */
  readonly name: string
  /** The registry's folder. */
  readonly registry: string
  /** Report of `mq verify`; without it, the one beside the model, if there is one. */
  readonly report?: string
  /** Publish although the report does not match, and start over where the repository's index.json is damaged. */
  readonly force?: boolean
  readonly signal?: AbortSignal
}

export interface Published {
  /** `NAMESPACE/NAME:TAG`. */
  readonly name: string
  readonly repository: string
  readonly tag: string
  /** Digest of the manifest. */
  readonly digest: string
  readonly sizeBytes: number
  readonly files: readonly { readonly path: string; readonly digest: string; readonly sizeBytes: number }[]
  /** Whether a report of `mq verify` is attached, and what it says. */
  readonly verified: boolean
  /** The registry's folder. */
  readonly registry: string
}

/**
 * Puts a model into a registry on this machine: checks it, stores its files by content, then points the tag to them. Until the last
 * step readers see what was there before. The same files under the same name give the same manifest, byte for byte.
 *
 * Rejects with NAME_INVALID, FILE_MISSING, GGUF_INVALID and kin, CHECKPOINT_EMPTY, REPORT_INVALID, REPORT_MISMATCH, DISK_FULL,
 * REGISTRY_CORRUPT, REGISTRY_BUSY.
 */
export async function* publish(options: PublishOptions): WithProgress<Published> {
  const { registry, force = false, signal } = options
  const asked = parseModelName(options.name)
  const source = await inspectSource(options.source)
  const model = parseModelName(`${repositoryOf(asked)}:${asked.tag ?? source.defaultTag}`)
  const tag = model.tag as string
  const report = await findReport(options.report, source)
  if (report !== undefined && !report.content.passed && !force) throw mismatch(report.path, source)

  const store = openStore(registry)
  await prepareStore(store)
  await sweepTemporaries(store)

  const layers: Descriptor[] = []
  let done = 0
  for (const { source: path, pathFor } of source.files) {
    const title = pathFor(model.name, tag)
    const work = addFile(store, path, signal)
    let step = await work.next()
    for (; step.done !== true; step = await work.next()) {
      yield { stage: 'publish', done: done + step.value, total: source.sizeBytes, unit: 'bytes', item: basename(path) }
    }
    done += step.value.size
    layers.push(fileLayer(source, title, step.value))
  }

  if (report !== undefined) {
    if (!force && !describes(report.content, layers)) throw mismatch(report.path, source)
    const title = reportPath(source.format === 'gguf' ? (layers[0]?.annotations?.[annotations.title] ?? model.name) : model.name)
    layers.push(reportLayer(title, await addBytes(store, encodeJson(report.content))))
  }

  const { descriptor, manifest } = await addManifest(store, source, layers)
  const repository = await updateIndex(store, model, (index) => pointTag(index, tag, descriptor), { repair: force })
  const files = manifest.layers.map(({ annotations: notes, digest, size }) => ({
    path: notes?.[annotations.title] ?? '',
    digest,
    sizeBytes: size,
  }))
  return {
    name: `${repository.name}:${tag}`,
    repository: repository.name,
    tag,
    digest: descriptor.digest,
    sizeBytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    files,
    verified: report !== undefined,
    registry: store.directory,
  }
}

async function findReport(
  given: string | undefined,
  source: Source,
): Promise<{ path: string; content: VerifyReport } | undefined> {
  const first = source.files[0]?.source
  const beside = first !== undefined && source.format === 'gguf' ? reportPath(first) : undefined
  if (given !== undefined) return { path: given, content: await readReport(given) }
  const there = beside !== undefined && (await stat(beside).catch(() => undefined))?.isFile() === true
  return there ? { path: beside, content: await readReport(beside) } : undefined
}

/** Whether a report was made for these weights, all of them. */
function describes(report: VerifyReport, layers: readonly Descriptor[]): boolean {
  const weights: readonly string[] = [mediaTypes.gguf, mediaTypes.safetensors]
  const measured = new Set(report.files.map(({ sha256 }) => `sha256:${sha256}`))
  const published = new Set(layers.map(({ digest }) => digest))
  return (
    [...measured].every((digest) => published.has(digest)) &&
    layers.every(({ mediaType, digest }) => !weights.includes(mediaType) || measured.has(digest))
  )
}

function mismatch(report: string, source: Source): MqError {
  return MqError.of('REPORT_MISMATCH', { report, file: source.files[0]?.source ?? 'the model' })
}

/** The tag goes to the end: the order of index.json is the order of publishing. */
function pointTag<Content extends { manifests: Descriptor[] }>(index: Content, tag: string, descriptor: Descriptor): Content {
  const others = index.manifests.filter(({ annotations: notes }) => notes?.[annotations.tag] !== tag)
  return { ...index, manifests: [...others, { ...descriptor, annotations: { [annotations.tag]: tag } }] }
}
