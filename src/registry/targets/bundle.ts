import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { openGguf } from '../../../formats/gguf/index.js'
import { hashFile } from '../../files/index.js'
import { inspectModel } from '../../model/inspect/index.js'
import type { WithProgress } from '../../progress/index.js'
import type { VerifyReport } from '../../verify/index.js'
import { cardFacts } from '../page/readme.js'
import { digestOfFiles, digestOfSource, type Provenance, provenanceOf } from '../provenance.js'
import { inspectSource } from '../source.js'
import { type ModelName, parseModelName, repositoryOf } from '../store/index.js'
import { modelCard } from './card.js'

/** A file of a publication: an existing one, or generated text. */
export type BundleFile = { readonly name: string; readonly sha256: string; readonly sizeBytes: number } & (
  | { readonly path: string }
  | { readonly text: string }
)

/** A model with the files that are published beside it. */
export interface Bundle {
  /** With its tag. */
  readonly model: ModelName & { readonly tag: string }
  readonly format: 'gguf' | 'safetensors'
  /** The model's own files, in the order of shards. */
  readonly files: readonly (BundleFile & { readonly path: string })[]
  /** Report and plan. */
  readonly attachments: readonly BundleFile[]
  readonly card: string
  readonly provenance: Provenance
  readonly architecture: string | undefined
  readonly quantization: string | undefined
}

/** Options for bundling. */
export interface BundleOptions {
  /** A .gguf file, one shard of a split model, or a checkpoint folder. */
  readonly source: string
  readonly name: string
  readonly report?: { readonly content: VerifyReport; readonly bytes: Buffer } | undefined
  readonly plan?:
    | { readonly goal: string; readonly calibration?: string | undefined; readonly bytes: Buffer; readonly digest: string }
    | undefined
  /** The model that this one was made from: its digest, licence and name are published. */
  readonly madeFrom?: string | undefined
  readonly madeFromDigest?: string | undefined
  readonly license?: string | undefined
  readonly baseModel?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/** Hashes a model's files and writes its card. @throws MqError as inspectSource and hashFile do; NAME_INVALID. */
export async function* bundleModel(options: BundleOptions): WithProgress<Bundle> {
  const { report, plan, madeFrom, signal } = options
  const source = await inspectSource(options.source)
  const asked = parseModelName(options.name)
  const tag = asked.tag ?? source.defaultTag
  const model = { ...asked, tag }
  const files: (BundleFile & { readonly path: string })[] = []
  let done = 0
  for (const { source: path, pathFor } of source.files) {
    yield { stage: 'publish', done, total: source.sizeBytes, unit: 'bytes', item: basename(path) }
    files.push({ name: pathFor(model.name, tag), path, ...(await hashFile(path, signal)) })
    done += files.at(-1)?.sizeBytes ?? 0
  }
  const [first] = files
  const texts = [
    ...(report === undefined ? [] : [{ name: `${first?.name ?? model.name}.verify.json`, bytes: report.bytes }]),
    ...(plan === undefined ? [] : [{ name: `${first?.name ?? model.name}.plan.json`, bytes: plan.bytes }]),
  ]
  const attachments = texts.map(({ name, bytes }) => ({
    name,
    text: bytes.toString('utf8'),
    sha256: createHash('sha256').update(bytes).digest('hex'),
    sizeBytes: bytes.byteLength,
  }))
  const isFolder = source.format === 'safetensors'
  const provenance = provenanceOf({
    source:
      madeFrom !== undefined
        ? (options.madeFromDigest ?? (await digestOfSource(madeFrom, signal)))
        : isFolder
          ? digestOfFiles(files)
          : undefined,
    plan: plan?.digest,
    calibration: plan?.calibration,
    reference: report?.content.reference.files === undefined ? undefined : digestOfFiles(report.content.reference.files),
  })
  const inspected = isFolder ? undefined : await inspectModel(first?.path ?? '')
  const known = await licenceOf(options, first?.path ?? '', isFolder)
  const card = modelCard({
    repository: repositoryOf(model),
    tag,
    files,
    architecture: source.architecture,
    bitsPerWeight: inspected?.bitsPerWeight,
    license: options.license ?? known.license,
    baseModel: options.baseModel ?? known.baseModel,
    recipe:
      inspected === undefined
        ? undefined
        : {
            goal: plan?.goal,
            types: inspected.types.map(({ type, tensors, sizeBytes }) => ({ type, tensors, sizeBytes })),
          },
    report: report?.content,
    provenance,
  })
  const { architecture, quantization, format } = source
  return { model, format, files, attachments, card, provenance, architecture, quantization }
}

/** Reads licence and base model of the source: from the card of its folder, or from the metadata of a GGUF. */
async function licenceOf(
  { madeFrom }: BundleOptions,
  first: string,
  isFolder: boolean,
): Promise<{ license?: string | undefined; baseModel?: string | undefined }> {
  const folder = madeFrom ?? (isFolder ? dirname(first) : undefined)
  if (folder !== undefined && (await stat(folder)).isDirectory()) {
    const facts = await cardFacts(await readFile(join(folder, 'README.md'), 'utf8').catch(() => ''))
    return { license: facts.license, baseModel: facts.baseModel ?? (isFolder ? undefined : basename(folder)) }
  }
  const path = folder ?? first
  if (!path.endsWith('.gguf')) return {}
  const model = await openGguf(path)
  await model.close()
  const text = (key: string): string | undefined => {
    const value = model.metadata.get(key)?.value
    return typeof value === 'string' && value !== '' ? value.slice(0, 200) : undefined
  }
  const baseModel =
    text('general.base_model.0.repo_url')?.replace(/^https:\/\/huggingface\.co\//, '') ?? text('general.base_model.0.name')
  return { license: text('general.license'), baseModel: baseModel ?? text('general.name') }
}
