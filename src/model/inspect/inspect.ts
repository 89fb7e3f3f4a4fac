import { stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { type ByteSource, fileSource } from '../../../formats/byte-source.js'
import {
  type MetadataTypeName,
  type MetadataValue,
  openGguf,
  weightsOfWidened,
  widthsOfWidened,
} from '../../../formats/gguf/index.js'
import { readSafetensorsHeader, type SafetensorsHeader } from '../../../formats/safetensors/index.js'
import { type CheckpointFolder, localFolder, readHeaders, readJsonFile } from '../checkpoint/index.js'

/** Values of a long metadata array that are shown. */
const shownValues = 8

/** A metadata entry as it can be shown, and be written as JSON. */
export interface InspectedValue {
  /** As in `uint32`, `string`, or `string[2048]` with the length of an array. */
  readonly type: string
  /** What a JSON number cannot hold is text; a float32 has no more digits than it needs. Of an array, the first values alone. */
  readonly value: unknown
}

/** A tensor as the headers describe it. */
export interface InspectedTensor {
  readonly name: string
  /** Row-major: the last dimension is the row length. GGUF itself writes them the other way round. */
  readonly shape: readonly number[]
  readonly type: string
  readonly elements: number
  readonly sizeBytes: number
  readonly bitsPerWeight: number
  /** Name of the file that holds it. */
  readonly file: string
}

/** All tensors of one type together. */
export interface InspectedType {
  readonly type: string
  readonly tensors: number
  readonly elements: number
  readonly sizeBytes: number
  readonly bitsPerWeight: number
}

/** Contents of the headers of a model. */
export interface Inspection {
  readonly path: string
  readonly format: 'GGUF' | 'safetensors'
  /** Of a GGUF file: its version, byte order and alignment, in words. */
  readonly container?: string
  readonly files: readonly { readonly name: string; readonly sizeBytes: number }[]
  /** general.architecture, or the first of config.json's `architectures`. */
  readonly architecture?: string
  readonly metadata: Readonly<Record<string, InspectedValue>>
  /** Sum over all tensors. */
  readonly elements: number
  readonly dataBytes: number
  /** 8 * dataBytes / elements, as llama.cpp prints it; zeros that widen a model are no elements. */
  readonly bitsPerWeight: number
  /** Of a widened model its widths before and after zeros were added. */
  readonly widened?: readonly string[]
  /** The largest first. */
  readonly types: readonly InspectedType[]
  /** In the order of the files. */
  readonly tensors: readonly InspectedTensor[]
}

/** A model of a hub, whose headers are read over HTTP. */
export type RemoteModelFiles =
  | { readonly kind: 'checkpoint'; readonly folder: CheckpointFolder }
  | { readonly kind: 'gguf'; readonly path: string; readonly open: (path: string) => Promise<ByteSource> }

/**
 * Reads the headers of a model, and none of its weights.
 * @param source a .gguf file, any shard of a split one, a .safetensors file, or the folder of a checkpoint.
 * @throws MqError CHECKPOINT_EMPTY, CONFIG_INVALID; FormatError as the readers do; Node's ENOENT.
 */
export async function inspectModel(source: string | RemoteModelFiles): Promise<Inspection> {
  if (typeof source !== 'string') {
    return source.kind === 'gguf' ? inspectGguf(source.path, source.open) : inspectCheckpoint(source.folder)
  }
  const path = source
  if ((await stat(path)).isDirectory()) return inspectCheckpoint(localFolder(path))
  return path.endsWith('.safetensors') ? inspectSafetensors(path) : inspectGguf(path)
}

async function inspectGguf(path: string, open?: (path: string) => Promise<ByteSource>): Promise<Inspection> {
  const model = await openGguf(path, open)
  await model.close()
  const architecture = model.metadata.get('general.architecture')
  const files = model.sources.map(({ name, byteLength }) => ({ name: basename(name), sizeBytes: byteLength }))
  return {
    path,
    format: 'GGUF',
    container: `version ${model.version}, ${model.byteOrder}-endian`,
    files,
    architecture: architecture?.type === 'string' ? architecture.value : undefined,
    metadata: Object.fromEntries([...model.metadata].map(([key, value]) => [key, showValue(value)])),
    ...ofModel(
      summarize(
        model.tensors.map(({ name, dimensions, type, sizeBytes, file }) =>
          describeTensor(name, dimensions.toReversed(), type, sizeBytes, files[file]?.name ?? ''),
        ),
      ),
      weightsOfWidened(model.metadata),
    ),
    widened: widthsOfWidened(model.metadata),
  }
}

/** Weights and bits per weight of the model alone, where its widths grew by zeros. */
function ofModel<Totals extends Pick<Inspection, 'elements' | 'dataBytes' | 'bitsPerWeight'>>(
  totals: Totals,
  weights?: number,
): Totals {
  return weights === undefined ? totals : { ...totals, elements: weights, bitsPerWeight: bits(totals.dataBytes, weights) }
}

async function inspectSafetensors(path: string): Promise<Inspection> {
  const source = await fileSource(path)
  try {
    return await fromHeaders(path, localFolder(dirname(path)), new Map([[basename(path), await readSafetensorsHeader(source)]]))
  } finally {
    await source.close()
  }
}

async function inspectCheckpoint(checkpoint: CheckpointFolder): Promise<Inspection> {
  const inspection = await fromHeaders(checkpoint.path, checkpoint, (await readHeaders(checkpoint)).headers)
  const config = await readJsonFile(checkpoint, 'config.json')
  const architectures: unknown = config?.['architectures']
  const architecture: unknown = Array.isArray(architectures) ? architectures[0] : undefined
  return typeof architecture === 'string' ? { ...inspection, architecture } : inspection
}

async function fromHeaders(
  path: string,
  folder: CheckpointFolder,
  headers: ReadonlyMap<string, SafetensorsHeader>,
): Promise<Inspection> {
  const names = [...headers.keys()]
  const sizes = await Promise.all(names.map((name) => sizeIn(folder, name)))
  const entries = [...headers.values()].flatMap(({ metadata }) => [...metadata])
  const tensors = [...headers].flatMap(([file, { tensors }]) =>
    [...tensors].map(([name, { dtype, shape, start, end }]) => describeTensor(name, shape, dtype, end - start, file)),
  )
  return {
    path,
    format: 'safetensors',
    files: names.map((name, index) => ({ name, sizeBytes: sizes[index] ?? 0 })),
    metadata: Object.fromEntries(entries.map(([key, value]) => [key, { type: 'string', value }])),
    ...summarize(tensors),
  }
}

async function sizeIn(folder: CheckpointFolder, name: string): Promise<number> {
  const source = await folder.open(name)
  await source.close()
  return source.byteLength
}

function describeTensor(name: string, shape: readonly number[], type: string, sizeBytes: number, file: string): InspectedTensor {
  const elements = shape.reduce((product, dimension) => product * dimension, 1)
  return { name, shape, type, elements, sizeBytes, bitsPerWeight: bits(sizeBytes, elements), file }
}

function summarize(
  tensors: readonly InspectedTensor[],
): Pick<Inspection, 'elements' | 'dataBytes' | 'bitsPerWeight' | 'types' | 'tensors'> {
  const groups = new Map<string, InspectedTensor[]>()
  for (const tensor of tensors) {
    const group = groups.get(tensor.type)
    if (group === undefined) groups.set(tensor.type, [tensor])
    else group.push(tensor)
  }
  const types = [...groups].map(([type, tensors]) => ({ type, tensors: tensors.length, ...total(tensors) }))
  const { sizeBytes: dataBytes, ...all } = total(tensors)
  return { ...all, dataBytes, types: types.toSorted((a, b) => b.sizeBytes - a.sizeBytes), tensors }
}

function total(tensors: readonly InspectedTensor[]): { elements: number; sizeBytes: number; bitsPerWeight: number } {
  const elements = tensors.reduce((sum, tensor) => sum + tensor.elements, 0)
  const sizeBytes = tensors.reduce((sum, tensor) => sum + tensor.sizeBytes, 0)
  return { elements, sizeBytes, bitsPerWeight: bits(sizeBytes, elements) }
}

function bits(sizeBytes: number, elements: number): number {
  return elements === 0 ? 0 : (8 * sizeBytes) / elements
}

function showValue(entry: MetadataValue): InspectedValue {
  if (entry.type !== 'array') return { type: entry.type, value: showScalar(entry.value, entry.type) }
  const first = entry.value.slice(0, shownValues)
  return {
    type: `${entry.elementType}[${entry.value.length}]`,
    value: first.map((value) => (typeof value === 'object' ? showValue(value).value : showScalar(value, entry.elementType))),
  }
}

function showScalar(value: number | bigint | boolean | string, type: MetadataTypeName): number | boolean | string {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value)
  if (typeof value !== 'number') return value
  if (!Number.isFinite(value)) return String(value)
  return type === 'float32' ? shortestFloat32(value) : value
}

/** The shortest decimal that is the same float32: 0.95, and not 0.949999988079071. */
function shortestFloat32(value: number): number {
  for (let digits = 1; digits <= 9; digits++) {
    const short = Number(value.toPrecision(digits))
    if (Math.fround(short) === value) return short
  }
  return value
}
