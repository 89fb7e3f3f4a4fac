import type { WithProgress } from '../../progress/index.js'
import { findAttachments, mismatch } from '../attachments.js'
import type { Provenance } from '../provenance.js'
import { inspectSource } from '../source.js'
import { encodeJson, repositoryOf } from '../store/index.js'
import { bundleModel } from './bundle.js'
import { parseTarget, publishTo, type TargetOptions } from './targets.js'

/** Source and target of a publication. */
export interface PublishToTargetOptions extends TargetOptions {
  /** A .gguf file, one shard of a split model, or a checkpoint folder. */
  readonly source: string
  /** `NAMESPACE/NAME[:TAG]`. */
  readonly name: string
  /** `ollama`, `lmstudio`, `text-generation-webui`, `llama-server`, `hf:NAMESPACE/NAME` or a folder. */
  readonly to: string
  readonly report?: string | undefined
  readonly plan?: string | undefined
  readonly madeFrom?: string | undefined
  /** The digest of `madeFrom`, where it is known: see digestOfFiles. */
  readonly madeFromDigest?: string | undefined
  /** Loads a GGUF with llama.cpp first. */
  readonly check?: boolean
  /** Licence for the model card; by default that of the source. */
  readonly license?: string | undefined
  readonly baseModel?: string | undefined
}

/** Result of a publication outside of the registry. */
export interface PublishedToTarget {
  /** `NAMESPACE/NAME:TAG`. */
  readonly name: string
  readonly to: string
  /** The folder or address. */
  readonly place: string
  readonly files: readonly string[]
  readonly sizeBytes: number
  readonly provenance: Provenance
}

/**
 * Publishes a model to a program on this machine, to a hub, or into a folder, with a model card, SHA256SUMS, its report and its plan.
 * @throws MqError as inspectSource, loadModel and publishTo do; REPORT_MISMATCH where a report's gate failed or it is of another file.
 */
export async function* publishToTarget(options: PublishToTargetOptions): WithProgress<PublishedToTarget> {
  const { signal, force = false } = options
  const target = parseTarget(options.to)
  const source = await inspectSource(options.source)
  const { report, plan } = await findAttachments(source, options)
  const bundle = yield* bundleModel({
    source: options.source,
    name: options.name,
    report: report && { content: report.content, bytes: encodeJson(report.content) },
    plan,
    madeFrom: options.madeFrom,
    madeFromDigest: options.madeFromDigest,
    license: options.license,
    baseModel: options.baseModel,
    signal,
  })
  if (report !== undefined && !force) {
    const hashes = new Set(bundle.files.map(({ sha256 }) => sha256))
    const isOther = report.content.files.some(({ sha256 }) => !hashes.has(sha256))
    if (isOther) throw mismatch(report.path, source)
  }
  const copied = yield* publishTo(target, bundle, options)
  return {
    name: `${repositoryOf(bundle.model)}:${bundle.model.tag}`,
    to: options.to,
    place: copied.folder,
    files: copied.files,
    sizeBytes: bundle.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    provenance: bundle.provenance,
  }
}
