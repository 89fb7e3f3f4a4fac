import { fileSource } from '../../../formats/byte-source.js'
import { openGguf, shardName, weightsOfWidened } from '../../../formats/gguf/index.js'
import { MqError } from '../../errors/index.js'
import { selectGguf } from '../../hub/index.js'
import type { DrawnPlan } from '../../plan/index.js'
import type { VerifyReport } from '../../verify/index.js'
import {
  annotations,
  blobPath,
  type Descriptor,
  mediaTypes,
  parseModelConfig,
  readBytes,
  type Snapshot,
  type Store,
  type Tagged,
} from '../store/index.js'

/** Properties of a tag for the page. */
export interface TagDescription {
  readonly tag: string
  readonly digest: string
  readonly architecture: string | undefined
  readonly quantization: string | undefined
  readonly files: Snapshot['files']
  /** Size of the model's files, without report and plan. */
  readonly sizeBytes: number
  /** Bits per weight of the GGUF that llama.cpp would choose; undefined where there is none, or its header cannot be read. */
  readonly bitsPerWeight: number | undefined
  readonly elements: number | undefined
  readonly report: VerifyReport | undefined
  /** Whether everything could be read. */
  readonly complete: boolean
  /** Provenance from the manifest: source, plan, calibration, version. */
  readonly provenance: Readonly<Record<string, string>>
}

type Shape = Pick<DrawnPlan, 'architecture' | 'bitsPerWeight' | 'fileBytes' | 'tensors'> & { readonly elements: number }

const rememberedTags = 2000
const attachments = new Set<string>([mediaTypes.verifyReport, mediaTypes.plan])
const maxReportBytes = 1 << 26
// Content under a digest does not change.
const known = new Map<string, Promise<TagDescription>>()

/** Describes a tag from its manifest, the header of its GGUF and its report. What cannot be read is left out. */
export function describeTag(store: Store, tagged: Tagged, { files }: Snapshot): Promise<TagDescription> {
  const key = `${store.directory}\n${tagged.descriptor.digest}\n${tagged.tag}`
  const found = known.get(key)
  if (found !== undefined) return found
  const [oldest] = known.keys()
  if (known.size >= rememberedTags && oldest !== undefined) known.delete(oldest)
  const made = describe(store, tagged, files)
  known.set(key, made)
  const forget = (): boolean => known.delete(key)
  // An incomplete description is not cached: the next attempt may succeed.
  made.then(({ complete }) => complete || forget(), forget)
  return made
}

async function describe(store: Store, { tag, manifest, descriptor }: Tagged, files: Snapshot['files']): Promise<TagDescription> {
  const config = await orUndefined(async () => parseModelConfig(store, await readBytes(store, manifest.config), tag))
  const report = manifest.layers.find(({ mediaType }) => mediaType === mediaTypes.verifyReport)
  const shape = await readShape(store, files)
  const readReport = report && (await orUndefined(() => readReportLayer(store, report)))
  const isUnread = (shape === undefined && selectGguf(files.map(({ path }) => path)).length > 0) || (report && !readReport)
  return {
    tag,
    digest: descriptor.digest,
    architecture: config?.architecture ?? shape?.architecture,
    quantization: config?.quantization,
    files,
    sizeBytes: files.filter(({ mediaType }) => !attachments.has(mediaType)).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    bitsPerWeight: shape?.bitsPerWeight,
    elements: shape?.elements,
    report: readReport,
    complete: isUnread !== true,
    provenance: Object.fromEntries(
      Object.entries(manifest.annotations ?? {})
        .filter(([key]) => key.startsWith(annotations.provenance))
        .map(([key, value]) => [key.slice(annotations.provenance.length), value]),
    ),
  }
}

const rememberedShapes = 16
const shapes = new Map<string, Promise<Shape | undefined>>()

/** Reads the data for the diagram of a tag's types; the latest are cached. @returns undefined where the tag has no readable GGUF. */
export function readShape(store: Store, files: Snapshot['files']): Promise<Shape | undefined> {
  const key = [store.directory, ...files.map(({ path, digest }) => `${path} ${digest}`)].join('\n')
  const found = shapes.get(key)
  if (found !== undefined) return found
  const [oldest] = shapes.keys()
  if (shapes.size >= rememberedShapes && oldest !== undefined) shapes.delete(oldest)
  const made = headerOf(store, files)
  shapes.set(key, made)
  made.then(
    (shape) => shape ?? shapes.delete(key),
    () => shapes.delete(key),
  )
  return made
}

function headerOf(store: Store, files: Snapshot['files']): Promise<Shape | undefined> {
  return orUndefined(async () => {
    const { roleOfTensor, layerOfTensor } = await import('../../model/index.js')
    const chosen = selectGguf(files.map(({ path }) => path))
    const shards = chosen.flatMap((path) => files.find((file) => file.path === path) ?? [])
    if (shards.length === 0) return undefined
    const names = shards.length === 1 ? ['model.gguf'] : shards.map((_, index) => shardName('model', index, shards.length))
    const model = await openGguf(names[0] as string, (name) =>
      fileSource(blobPath(store, shards[names.indexOf(name)]?.digest ?? '')),
    )
    await model.close()
    const architecture = model.metadata.get('general.architecture')?.value
    const words = typeof architecture === 'string' ? architecture.slice(0, 100) : 'unknown architecture'
    const tensors = model.tensors.map(({ name, dimensions, type, sizeBytes }) => ({
      name,
      role: roleOfTensor(name, words),
      layer: layerOfTensor(name),
      shape: dimensions.toReversed(),
      type: type,
      sizeBytes,
    }))
    const stored = tensors.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0)
    const elements = weightsOfWidened(model.metadata) ?? stored
    const dataBytes = tensors.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    const fileBytes = shards.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    return { architecture: words, tensors, elements, bitsPerWeight: elements === 0 ? 0 : (8 * dataBytes) / elements, fileBytes }
  })
}

async function readReportLayer(store: Store, layer: Descriptor): Promise<VerifyReport> {
  if (layer.size > maxReportBytes)
    throw MqError.of('REGISTRY_CORRUPT', { path: store.directory, problem: `the report has ${layer.size} bytes` })
  const { parseReport } = await import('../../verify/index.js')
  return parseReport((await readBytes(store, layer)).toString('utf8'), layer.digest)
}

async function orUndefined<Result>(work: () => Promise<Result>): Promise<Result | undefined> {
  try {
    return await work()
  } catch {
    return undefined
  }
}
