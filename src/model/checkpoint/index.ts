import { resolve } from 'node:path'
import type { SafetensorsTensor } from '../../../formats/safetensors/index.js'
import { MqError } from '../../errors/index.js'
import { decodePlain, elementCount, type PlainType, plain, plainTypeBytes, type Recipe, type Shape } from '../../recipe/index.js'
import { readHeaders, readJsonFile, readTemplates, readTextFile } from './files.js'
import { type CheckpointFolder, checkpointFolderOf, localFolder } from './folder.js'
import { configFileName, readModelConfig } from './mistral-format.js'
import { type SampledRange, sampledBytesAreEqual } from './sampled-bytes.js'
import { openStorage, type StorageContext, type StoredTensors } from './storage/index.js'

export { readHeaders, readJsonFile, readTemplates, readTextFile } from './files.js'
export { type CheckpointFolder, checkSmallFile, exists, isHash, localFolder } from './folder.js'
export { configFileName, mistralFormat } from './mistral-format.js'

/** A folder as Hugging Face's transformers saves a model: config.json, *.safetensors, tokenizer files. */
export interface Checkpoint {
  /** Absolute path of the folder, or its address. */
  readonly path: string
  /** `ORG/NAME` or `NAME`, where the folder's place says it. */
  readonly modelId: string | undefined
  /** The path or address of one of its files, for messages. */
  pathOf(name: string): string
  /** Absolute paths of the weight files, or their addresses; a recipe's `file` counts them. */
  readonly files: readonly string[]
  /** config.json as it stands; in its place params.json of a model in Mistral's own form. */
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
  /** What the user should know of the storage. */
  readonly notes: readonly string[]
  /** The bytes of another file of the folder, such as `tokenizer.model`; undefined where there is none. @throws MqError LINK_DANGLING, LFS_POINTER. */
  readBytes(name: string): Promise<Uint8Array | undefined>
  /** The values of a small tensor that is stored as floats, read at once. @throws MqError TENSOR_MISSING, STORAGE_UNSUPPORTED. */
  values(name: string): Promise<Float32Array>
  /** Whether two tensors of the files hold the same bytes: stretches all over them are compared. */
  looksEqual(name: string, other: string): Promise<boolean>
  /** The text of another file of the folder, such as `chat_template.jinja`; undefined where there is none. @throws MqError CONFIG_INVALID. */
  readText(name: string): Promise<string | undefined>
  /** Another JSON file of the folder, such as `generation_config.json`; undefined where there is none. @throws MqError CONFIG_INVALID. */
  readJson(name: string): Promise<Readonly<Record<string, unknown>> | undefined>
  /** The texts of chat templates besides the usual one, by name (additional_chat_templates). @throws MqError CONFIG_INVALID. */
  readTemplates(): Promise<ReadonlyMap<string, string>>
}

/**
 * Opens a checkpoint, where a path is given that folder: reads config.json and the headers of the weight files, no weights.
 * @throws MqError FILE_MISSING, CHECKPOINT_EMPTY, CHECKPOINT_PICKLED, CONFIG_INVALID, STORAGE_UNSUPPORTED; FormatError SAFETENSORS_INVALID,
 * SAFETENSORS_INDEX_INVALID, INPUT_TRUNCATED, LFS_POINTER.
 */
export async function openCheckpoint(place: string | CheckpointFolder): Promise<Checkpoint> {
  const folder = typeof place === 'string' ? localFolder(await checkpointFolderOf(resolve(place))) : place
  const { headers, holdsTwo } = await readHeaders(folder)
  const config = await readModelConfig(folder)
  if (config === undefined) throw MqError.of('CHECKPOINT_EMPTY', { path: folder.path, problem: 'there is no config.json' })

  const located = new Map(
    [...headers.values()].flatMap(({ tensors }, file) =>
      [...tensors].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([name, tensor]) => [name, { ...tensor, file }] as const),
    ),
  )
  const placeOf = (name: string): SafetensorsTensor & { readonly file: number } => {
    const found = located.get(name)
    if (found === undefined) throw MqError.of('TENSOR_MISSING', { path: folder.path, tensor: name })
    return found
  }
  const stored: StoredTensors = {
    path: folder.path,
    names: [...located.keys()],
    get: (name) => located.get(name),
    floats(name) {
      const { dtype, shape, file, start, end } = placeOf(name)
      if (!isFloatType(dtype)) {
        throw MqError.of('STORAGE_UNSUPPORTED', {
          file: folder.path,
          storage: `${dtype} (tensor ${name})`,
          advice: 'Export the weights again as BF16, F16 or F32, or use the original checkpoint',
        })
      }
      return plain(dtype, { file, start, end }, shape)
    },
    as(name, type) {
      const { shape, file, start, end } = placeOf(name)
      return plain(type, { file, start, end }, shape)
    },
    packed(name) {
      const { file, start, end } = placeOf(name)
      return { file, start, end }
    },
  }
  const fileNames = [...headers.keys()]
  const storage = await openStorage({
    stored,
    config,
    configFile: folder.pathOf(configFileName(config)),
    bytesOf: async (name) => {
      const { file, start, end } = placeOf(name)
      if (end - start > maxSmallTensorBytes) {
        throw MqError.of('STORAGE_UNSUPPORTED', {
          file: folder.path,
          storage: `a description of ${end - start} bytes (tensor ${name})`,
          advice: 'Use the original checkpoint, before it was quantized',
        })
      }
      const source = await folder.open(fileNames[file] as string)
      try {
        return await source.slice(start, end)
      } finally {
        await source.close()
      }
    },
    ...(await readQuantization(folder, config)),
    metadata: new Map([...headers.values()].flatMap(({ metadata }) => [...metadata])),
  })
  const guess = [...located.values()].find(({ dtype, shape }) => shape.length > 1 && (dtype === 'BF16' || dtype === 'F16'))
  return {
    path: folder.path,
    modelId: folder.modelId,
    pathOf: (name) => folder.pathOf(name),
    files: [...headers.keys()].map((name) => folder.pathOf(name)),
    config,
    ...storage,
    notes: [
      ...storage.notes,
      ...(holdsTwo ? [twoModelsNote] : []),
      ...((await folder.names()).includes('adapter_config.json') ? [adapterBesideNote] : []),
    ],
    sourceType: guess?.dtype === 'BF16' ? 'BF16' : 'F16',
    async values(name) {
      const { dtype, shape, file, start, end } = placeOf(name)
      if (!isFloatType(dtype)) throw MqError.of('TENSOR_SHAPE', { tensor: name, shape: dtype, expected: 'floats' })
      const source = await folder.open([...headers.keys()][file] as string)
      try {
        const values = new Float32Array(elementCount(shape))
        decodePlain(dtype, await source.slice(start, end), values)
        return values
      } finally {
        await source.close()
      }
    },
    async looksEqual(name, other) {
      const [one, two] = [located.get(name), located.get(other)]
      if (one === undefined || two === undefined) return false
      if (one.dtype !== two.dtype || one.end - one.start !== two.end - two.start) return false
      const place = ({ file, start, end }: typeof one): SampledRange => ({ file: fileNames[file] as string, start, end })
      return sampledBytesAreEqual(folder, place(one), place(two))
    },
    readBytes: (name) => folder.readBytes(name),
    readText: (name) => readTextFile(folder, name),
    readJson: (name) => readJsonFile(folder, name),
    readTemplates: () => readTemplates(folder),
  }
}

/**
 * A checkpoint of which only config.json and other small files are read, and that holds tensors of these shapes.
 * @throws MqError FILE_MISSING, CHECKPOINT_EMPTY, CONFIG_INVALID.
 */
export async function openConfig(place: string | CheckpointFolder, shapes: ReadonlyMap<string, Shape>): Promise<Checkpoint> {
  const folder = typeof place === 'string' ? localFolder(await checkpointFolderOf(resolve(place))) : place
  const config = await readModelConfig(folder)
  if (config === undefined) throw MqError.of('CHECKPOINT_EMPTY', { path: folder.path, problem: 'there is no config.json' })
  const missing = (tensor: string): MqError => MqError.of('TENSOR_MISSING', { path: folder.path, tensor })
  return {
    path: folder.path,
    modelId: folder.modelId,
    pathOf: (name) => folder.pathOf(name),
    files: [],
    config,
    names: [...shapes.keys()],
    sourceType: 'F16',
    shapeOf: (name) => shapes.get(name),
    tensor: (name) => {
      throw missing(name)
    },
    notes: [],
    readBytes: (name) => folder.readBytes(name),
    readText: (name) => readTextFile(folder, name),
    readJson: (name) => readJsonFile(folder, name),
    readTemplates: () => readTemplates(folder),
    values: (name) => Promise.reject(missing(name)),
    looksEqual: () => Promise.resolve(false),
  }
}

const adapterBesideNote =
  'The folder holds an adapter as well (adapter_config.json), which is not merged: transformers would load the model together with it. Give its folder as one of the adapters to merge it.'

const twoModelsNote =
  'The folder holds the model twice: model.safetensors is read, as by transformers, and the shards that model.safetensors.index.json names are not.'

/** Tensors that describe others have some hundred bytes. */
const maxSmallTensorBytes = 65_536

/** What config.json says of a quantization, or ModelOpt's own file, and which of them it is. */
async function readQuantization(
  folder: CheckpointFolder,
  config: Readonly<Record<string, unknown>>,
): Promise<Pick<StorageContext, 'quantization' | 'sectionFile'>> {
  const sectionFile = configFileName(config)
  const sections = [config, ...textConfigs.map((name) => config[name])].filter(isSection)
  const inConfig = sections
    .flatMap((fields) => [fields['quantization_config'], fields['compression_config']])
    .find((section) => section != null)
  if (isSection(inConfig)) return { sectionFile, quantization: inConfig }
  // Anything else is no description, and is shown as such where it matters.
  if (inConfig !== undefined && inConfig !== null)
    return { sectionFile, quantization: { quant_method: JSON.stringify(inConfig) } }
  // MLX writes its section under this name; a checkpoint in Mistral's own form has one that is read already.
  const mlx = config['quantization']
  if (isSection(mlx)) return { sectionFile, quantization: { quant_method: 'mlx', ...mlx } }
  const modelopt = (await readJsonFile(folder, modeloptFile))?.['quantization']
  return isSection(modelopt)
    ? { sectionFile: modeloptFile, quantization: { quant_method: 'modelopt', ...modelopt } }
    : { sectionFile, quantization: undefined }
}

/** Where models of several kinds of input keep the configuration of their text model. Source: load_hparams of conversion/base.py, llama.cpp v0.7.0. */
export const textConfigs = ['text_config', 'llm_config', 'lm_config', 'language_config', 'lfm'] as const

const modeloptFile = 'hf_quant_config.json'

function isSection(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

const floatTypes: ReadonlySet<string> = new Set(['F64', 'F32', 'F16', 'BF16', 'F8_E4M3', 'F8_E5M2'])

function isFloatType(dtype: string): dtype is PlainType {
  return floatTypes.has(dtype) && Object.hasOwn(plainTypeBytes, dtype)
}
