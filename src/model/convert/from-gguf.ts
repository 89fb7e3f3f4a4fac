import { FormatError } from '../../../formats/format-error.js'
import type { GgmlTypeName } from '../../../formats/ggml/types.js'
import {
  holdsRawBytes,
  type Metadata,
  type OpenGguf,
  type OpenGgufTensor,
  type OpenSource,
  openGguf,
  widenedKey,
} from '../../../formats/gguf/index.js'
import { MqError } from '../../errors/index.js'
import { ggml, type PlainType, plain, type Recipe } from '../../recipe/index.js'
import type { Blueprint } from '../blueprint.js'
import { withChanges } from '../widen/index.js'
import { blueprintTensor, unknownKinds } from './from-checkpoint.js'

/** What belongs to the old file alone. */
const leftOut = new Set(['general.alignment'])

/** The ggml types that are numbers one by one. */
const plainTypes: Partial<Record<GgmlTypeName, PlainType>> = {
  F32: 'F32',
  F16: 'F16',
  BF16: 'BF16',
  F64: 'F64',
  I8: 'I8',
  I16: 'I16',
  I32: 'I32',
  I64: 'I64',
}

/** The blueprint of a GGUF file, or of all shards of one. @throws as makeBlueprint. */
export async function blueprintOfGguf(path: string, open?: OpenSource): Promise<Blueprint> {
  const gguf = await openGguf(path, open)
  await gguf.close()
  if (gguf.byteOrder !== 'little') throw unsupported(path, 'its numbers are big-endian')
  const architecture = gguf.metadata.get('general.architecture')
  if (architecture?.type !== 'string') throw unsupported(path, 'it does not name its architecture')
  if (gguf.tensors.length === 0) throw unsupported(path, 'it holds no tensors')
  const count = (key: string): number | undefined => {
    const entry = gguf.metadata.get(`${architecture.value}.${key}`)
    return typeof entry?.value === 'number' ? entry.value : undefined
  }
  const layers = count('block_count')
  if (layers === undefined) throw unsupported(path, `it has no ${architecture.value}.block_count`)
  const tensors = gguf.tensors.map((tensor) => blueprintTensor(tensor.name, recipeOf(tensor), architecture.value))
  const quantized = gguf.tensors.filter(({ type }) => plainTypes[type] === undefined).length
  return marked(path, {
    architecture: architecture.value,
    layers,
    experts: count('expert_count') ?? 0,
    metadata: new Map([...gguf.metadata].filter(([key]) => !leftOut.has(key))),
    files: gguf.files,
    tensors,
    sourceType: sourceTypeOf(gguf),
    notes: [
      ...(quantized === 0
        ? []
        : [
            `The source is already quantized (${quantized} of ${gguf.tensors.length} tensors): re-quantizing cannot restore lost precision.`,
          ]),
      ...rawTextNotes(gguf.metadata),
      ...unknownKinds(tensors),
    ],
  })
}

/** With what the file says of widths that grew. @throws FormatError GGUF_INVALID where it says it wrongly. */
function marked(path: string, blueprint: Blueprint): Blueprint {
  try {
    return withChanges(blueprint)
  } catch (error) {
    const problem = `its key ${widenedKey} is not what mq writes (${error instanceof Error ? error.message : String(error)})`
    throw MqError.from(new FormatError('GGUF_INVALID', { file: path, problem }))
  }
}

/** Which values of the metadata are not UTF-8, which other tools may not read. */
function rawTextNotes(metadata: Metadata): string[] {
  const found = [...metadata].flatMap(([key, entry]) => {
    const texts: readonly unknown[] = entry.type === 'array' ? entry.value : [entry.value]
    const count = texts.filter((text) => typeof text === 'string' && holdsRawBytes(text)).length
    return count === 0 ? [] : [entry.type === 'array' ? `${count} of ${texts.length} entries of ${key}` : key]
  })
  if (found.length === 0) return []
  return [`The metadata hold text that is not UTF-8 (${found.join(', ')}): it is kept byte for byte.`]
}

function recipeOf({ type, dimensions, file, start, end }: OpenGgufTensor): Recipe {
  const shape = dimensions.toReversed()
  const dtype = plainTypes[type]
  return dtype === undefined ? ggml(type, { file, start, end }, shape) : plain(dtype, { file, start, end }, shape)
}

/** The first matrix in a type of 16 bits says it; a file of F32 alone stays F32. */
function sourceTypeOf({ tensors }: OpenGguf): Blueprint['sourceType'] {
  const found = tensors.find(({ type, dimensions }) => dimensions.length > 1 && (type === 'F16' || type === 'BF16'))?.type
  if (found === 'F16' || found === 'BF16') return found
  return tensors.every(({ type }) => type === 'F32') ? 'F32' : 'F16'
}

function unsupported(file: string, problem: string): MqError {
  return MqError.from(new FormatError('GGUF_UNSUPPORTED', { file, problem }))
}
