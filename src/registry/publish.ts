import { basename } from 'node:path'
import { MqError } from '../errors/index.js'
import type { WithProgress } from '../progress/index.js'
import type { VerifyReport } from '../verify/index.js'
import { type Attachments, findAttachments, mismatch, planPath } from './attachments.js'
import { addManifest, fileLayer, planLayer, reportLayer } from './model-manifest.js'
import { digestOfFiles, digestOfSource, provenanceNotes, provenanceOf } from './provenance.js'
import { inspectSource, type Source } from './source.js'
import {
  addBytes,
  addFile,
  annotations,
  checkIndexLimits,
  type Descriptor,
  encodeJson,
  findRepository,
  limits,
  type ModelName,
  mediaTypes,
  openStore,
  type Pin,
  parseModelName,
  pinBlobs,
  prepareStore,
  readIndex,
  repositoryOf,
  type Store,
  sweepTemporaries,
  tagOf,
  updateIndex,
} from './store/index.js'

/** Upper bound for the bytes of a manifest without its layers. */
const manifestFrameBytes = 4096

/** Source and name of a publication. */
export interface PublishOptions {
  /** A .gguf file, one shard of a split model (all of them are published), or a folder with a checkpoint. */
  readonly source: string
  /** `NAMESPACE/NAME` or `NAMESPACE/NAME:TAG`. Without a tag: what the GGUF's name or contents say, such as Q4_K_M; `main` for a folder. */
  readonly name: string
  /** The registry's folder. */
  readonly registry: string
  /** Report of `mq verify`; without it, the one beside the model, if there is one. */
  readonly report?: string
  /** Plan that the model was quantized by; without it, the one beside the model (MODEL.plan.json), if there is one. */
  readonly plan?: string
  /** The checkpoint folder or GGUF that the model was made from: its digest is recorded. */
  readonly madeFrom?: string
  /** The digest of `madeFrom`, where it is known: see digestOfFiles. */
  readonly madeFromDigest?: string
  /** Loads a GGUF with llama.cpp first. */
  readonly check?: boolean
  /** Publishes although the report does not match, and replaces a damaged index.json of the repository. */
  readonly force?: boolean
  readonly signal?: AbortSignal
}

/** Result of a publication. */
export interface Published {
  /** `NAMESPACE/NAME:TAG`. */
  readonly name: string
  readonly repository: string
  readonly tag: string
  /** Digest of the manifest. */
  readonly digest: string
  readonly sizeBytes: number
  readonly files: readonly { readonly path: string; readonly digest: string; readonly sizeBytes: number }[]
  /** Whether a report of `mq verify` is attached, and its result. */
  readonly verified: boolean
  /** The registry's folder. */
  readonly registry: string
}

/**
 * Publishes a model to a registry on this machine: checks it, stores its files by digest, then moves the tag to them. Until the last step
 * readers see the previous state. The same files under the same name give the same manifest, byte for byte.
 * @throws MqError NAME_INVALID, FILE_MISSING, GGUF_INVALID and kin, CHECKPOINT_EMPTY, REPORT_INVALID, REPORT_MISMATCH, DISK_FULL,
 * REGISTRY_CORRUPT, REGISTRY_BUSY, REGISTRY_LIMIT.
 */
export async function* publish(options: PublishOptions): WithProgress<Published> {
  const { registry, force = false } = options
  const asked = parseModelName(options.name)
  const source = await inspectSource(options.source)
  const model = parseModelName(`${repositoryOf(asked)}:${asked.tag ?? source.defaultTag}`)
  const { report, plan } = await findAttachments(source, options)

  const store = openStore(registry)
  await checkLimits(store, model, source, [report, plan].filter((extra) => extra !== undefined).length, force)
  await prepareStore(store)
  await sweepTemporaries(store)
  const pin = await pinBlobs(store)
  try {
    return yield* storeAndTag(options, { store, source, model, report, plan, pin })
  } finally {
    await pin.release()
  }
}

interface Publication {
  readonly store: Store
  readonly source: Source
  /** With its tag. */
  readonly model: ModelName
  readonly report: Attachments['report']
  readonly plan: Attachments['plan']
  readonly pin: Pin
}

async function* storeAndTag(options: PublishOptions, publication: Publication): WithProgress<Published> {
  const { force = false, signal } = options
  const { store, source, model, report, plan, pin } = publication
  const tag = model.tag as string
  const layers: Descriptor[] = []
  let done = 0
  for (const { source: path, pathFor } of source.files) {
    const title = pathFor(model.name, tag)
    const work = addFile(store, path, pin, signal)
    let step = await work.next()
    for (; step.done !== true; step = await work.next()) {
      yield { stage: 'publish', done: done + step.value, total: source.sizeBytes, unit: 'bytes', item: basename(path) }
    }
    done += step.value.size
    layers.push(fileLayer(source, title, step.value))
  }

  if (report !== undefined) {
    const { reportPath } = await import('../verify/index.js')
    if (!force && !describes(report.content, layers)) throw mismatch(report.path, source)
    const title = reportPath(source.format === 'gguf' ? (layers[0]?.annotations?.[annotations.title] ?? model.name) : model.name)
    layers.push(reportLayer(title, await addBytes(store, encodeJson(report.content), pin)))
  }

  const own = layers.filter(({ mediaType }) => mediaType !== mediaTypes.verifyReport)
  if (plan !== undefined) {
    const title = planPath(layers[0]?.annotations?.[annotations.title] ?? model.name)
    layers.push(planLayer(title, await addBytes(store, plan.bytes, pin)))
  }
  const named = own.map(({ digest, annotations: notes }) => ({
    name: notes?.[annotations.title] ?? '',
    sha256: digest.slice('sha256:'.length),
  }))
  const provenance = provenanceOf({
    source:
      options.madeFrom !== undefined
        ? (options.madeFromDigest ?? (await digestOfSource(options.madeFrom, signal)))
        : source.format === 'safetensors'
          ? digestOfFiles(named)
          : undefined,
    plan: plan?.digest,
    calibration: plan?.calibration,
    reference: report?.content.reference.files && digestOfFiles(report.content.reference.files),
  })
  const { descriptor, manifest } = await addManifest(store, source, layers, pin, provenanceNotes(provenance))
  const repository = await updateIndex(store, model, (index) => pointTag(index, tag, descriptor), {
    repair: force,
    needs: [descriptor.digest, manifest.config.digest, ...manifest.layers.map(({ digest }) => digest)],
  })
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

/**
 * Checks limits before anything is written.
 * @throws MqError REGISTRY_LIMIT; REGISTRY_CORRUPT where the list of tags is damaged and `force` is not set.
 */
async function checkLimits(store: Store, model: ModelName, source: Source, extras: number, force: boolean): Promise<void> {
  const name = `${repositoryOf(model)}:${model.tag}`
  const count = source.files.length + extras
  if (count > limits.layers)
    throw MqError.of('REGISTRY_LIMIT', { name, problem: `it has ${count} files, and ${limits.layers} are the most` })
  const blank = { digest: `sha256:${'0'.repeat(64)}`, size: Number.MAX_SAFE_INTEGER }
  const layers = source.files.map(({ pathFor }) => fileLayer(source, pathFor(model.name, model.tag as string), blank))
  const bytes = encodeJson(layers).byteLength + manifestFrameBytes
  if (bytes > limits.manifestBytes)
    throw MqError.of('REGISTRY_LIMIT', { name, problem: `its manifest would have ${bytes} bytes` })
  const repository = await findRepository(store, model)
  if (repository === undefined) return
  const index = await readIndex(store, repository).catch((error: unknown) => {
    if (!force || MqError.from(error).code !== 'REGISTRY_CORRUPT') throw error
    return { manifests: [] as Descriptor[] }
  })
  const others = index.manifests.filter((entry) => tagOf(entry) !== model.tag)
  checkIndexLimits(model, others.length + 1)
}

/** Returns whether a report was made for exactly these weights. */
function describes(report: VerifyReport, layers: readonly Descriptor[]): boolean {
  const weights: readonly string[] = [mediaTypes.gguf, mediaTypes.safetensors]
  const measured = new Set(report.files.map(({ sha256 }) => `sha256:${sha256}`))
  const published = new Set(layers.map(({ digest }) => digest))
  return (
    [...measured].every((digest) => published.has(digest)) &&
    layers.every(({ mediaType, digest }) => !weights.includes(mediaType) || measured.has(digest))
  )
}

/** Moves the tag's entry to the end: the order of index.json is the order of publishing. */
function pointTag<Content extends { manifests: Descriptor[] }>(index: Content, tag: string, descriptor: Descriptor): Content {
  const others = index.manifests.filter((entry) => tagOf(entry) !== tag)
  return { ...index, manifests: [...others, { ...descriptor, annotations: { [annotations.tag]: tag } }] }
}
