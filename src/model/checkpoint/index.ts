import { resolve } from 'node:path'
import { MqError } from '../../errors/index.js'
import { type PlainType, plain, plainTypeBytes, type Recipe, type Shape } from '../../recipe/index.js'
import { readHeaders, readJsonFile } from './files.js'
import { type CheckpointFolder, localFolder } from './folder.js'
import { fp8ScaleSuffix, isStorageDetail, scaled, storageOf } from './storage.js'

export { readHeaders, readJsonFile } from './files.js'
export { type CheckpointFolder, localFolder } from './folder.js'

/** A folder as Hugging Face's transformers saves a model: config.json, *.safetensors, tokenizer files. */
export interface Checkpoint {
  /** Absolute path of the folder, or its address. */
  readonly path: string
  /** Absolute paths of the weight files, or their addresses; a recipe's `file` counts them. */
  readonly files: readonly string[]
  /** config.json as it stands. */
  readonly config: Readonly<Record<string, unknown>>
  /**
   * The model's tensors, without what only belongs to their storage: file after file, by name within each. This is the order in which
   * llama.cpp's converter meets them, and so that of its output.
   */
  readonly names: readonly string[]
  /** The type that most faithfully keeps what is stored, found as llama.cpp's converter does. */
  readonly sourceType: 'F16' | 'BF16'
  /** The shape of a tensor; undefined where there is none of that name. Reads nothing. */
  shapeOf(name: string): Shape | undefined
  /**
   * A tensor's values, whatever its storage.
   * @throws MqError TENSOR_MISSING, STORAGE_UNSUPPORTED, TENSOR_SHAPE.
   */
  tensor(name: string): Recipe
  /** The text of another file of the folder, such as `chat_template.jinja`; undefined where there is none. */
  readText(name: string): Promise<string | undefined>
  /** Another JSON file of the folder, such as `generation_config.json`; undefined where there is none. @throws MqError CONFIG_INVALID. */
  readJson(name: string): Promise<Readonly<Record<string, unknown>> | undefined>
}

/**
 * Opens a checkpoint, where a path is given that folder: reads config.json and the headers of the weight files, no weights.
 * @throws MqError FILE_MISSING, CHECKPOINT_EMPTY, CONFIG_INVALID, STORAGE_UNSUPPORTED; FormatError SAFETENSORS_INVALID,
 * SAFETENSORS_INDEX_INVALID, INPUT_TRUNCATED.
 */
export async function openCheckpoint(place: string | CheckpointFolder): Promise<Checkpoint> {
  const folder = typeof place === 'string' ? localFolder(resolve(place)) : place
  const headers = await readHeaders(folder)
  const configFile = folder.pathOf('config.json')
  const config = await readJsonFile(folder, 'config.json')
  if (config === undefined) throw MqError.of('CHECKPOINT_EMPTY', { path: folder.path, problem: 'there is no config.json' })
  const storage = storageOf(config, configFile)
  const modelopt = 'hf_quant_config.json'
  if (storage.method === 'plain' && (await readJsonFile(folder, modelopt)) !== undefined) {
    throw MqError.of('STORAGE_UNSUPPORTED', { file: folder.pathOf(modelopt), storage: 'a ModelOpt quantization' })
  }

  const stored = new Map(
    [...headers.values()].flatMap(({ tensors }, file) =>
      [...tensors].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([name, tensor]) => [name, { ...tensor, file }] as const),
    ),
  )
  const names = [...stored.keys()].filter((name) => !isStorageDetail(name, storage))
  const guess = [...stored.values()].find(({ dtype, shape }) => shape.length > 1 && (dtype === 'BF16' || dtype === 'F16'))

  const asStored = (name: string): Recipe => {
    const found = stored.get(name)
    if (found === undefined) throw MqError.of('TENSOR_MISSING', { path: folder.path, tensor: name })
    const { dtype, shape, file, start, end } = found
    if (!isPlainType(dtype)) {
      throw MqError.of('STORAGE_UNSUPPORTED', { file: folder.path, storage: `${dtype} (tensor ${name})` })
    }
    return plain(dtype, { file, start, end }, shape)
  }
  return {
    path: folder.path,
    files: [...headers.keys()].map((name) => folder.pathOf(name)),
    config,
    names,
    sourceType: guess?.dtype === 'BF16' ? 'BF16' : 'F16',
    shapeOf: (name) => stored.get(name)?.shape,
    tensor(name) {
      const weight = asStored(name)
      const scale = `${name}${fp8ScaleSuffix}`
      return storage.method === 'fp8' && stored.has(scale) ? scaled(name, weight, asStored(scale), storage.block) : weight
    },
    readText: (name) => folder.readText(name),
    readJson: (name) => readJsonFile(folder, name),
  }
}

function isPlainType(dtype: string): dtype is PlainType {
  return Object.hasOwn(plainTypeBytes, dtype)
}
