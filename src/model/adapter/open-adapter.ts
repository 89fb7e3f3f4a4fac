import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { fileSource } from '../../../formats/byte-source.js'
import { readSafetensorsHeader, type SafetensorsTensor } from '../../../formats/safetensors/index.js'
import { MqError } from '../../errors/index.js'
import { hashFile } from '../../files/index.js'
import { type CheckpointFolder, localFolder, readJsonFile } from '../checkpoint/index.js'
import { type AdapterConfig, readAdapterConfig } from './adapter-config.js'
import { type AdapterSpec, readAdapterSpec } from './adapter-spec.js'

const configName = 'adapter_config.json'
const weightsName = 'adapter_model.safetensors'

/** The two matrices A and B of a module, with bias and magnitudes. */
export interface AdaptedModule {
  /** A: rank x inputs; for an embedding, rank x tokens. */
  readonly a: SafetensorsTensor
  /** B: outputs x rank. */
  readonly b: SafetensorsTensor
  readonly isEmbedding: boolean
  /** Bias of B. */
  readonly bias?: SafetensorsTensor
  /** Magnitudes of DoRA. */
  readonly magnitude?: SafetensorsTensor
}

/** A tensor that replaces one of the base. */
export interface SavedTensor extends SafetensorsTensor {
  /** Whether it is what low-rank changes are added to, and no module of its own: an output matrix may be tied to the embedding still. */
  readonly isBase: boolean
}

/** An adapter whose header has been read. */
export interface Adapter {
  readonly name: string
  /** Folder of the adapter. */
  readonly folder: CheckpointFolder
  /** Path of the weight file. */
  readonly file: string
  /** SHA-256 of configuration and weights. */
  readonly sha256: string
  readonly scale: number
  readonly config: AdapterConfig
  /** By their names in the model, without `base_model.model.`, in the order of the file. */
  readonly modules: ReadonlyMap<string, AdaptedModule>
  /** Tensors that replace those of the base, such as `lm_head.weight`. */
  readonly saved: ReadonlyMap<string, SavedTensor>
  /** Trained rows of embeddings, by the embedding's name. */
  readonly tokens: ReadonlyMap<string, SafetensorsTensor>
}

/**
 * Opens an adapter of peft: a folder with adapter_config.json and adapter_model.safetensors, or that file. Reads headers; the weights only
 * for their digest.
 * @param use `merge`, or `apart`: see readAdapterConfig.
 * @throws MqError FILE_MISSING, ADAPTER_INVALID, ADAPTER_UNSUPPORTED, CHECKPOINT_PICKLED, CONFIG_INVALID; FormatError SAFETENSORS_INVALID and kin.
 */
export async function openAdapter({ path, scale }: AdapterSpec, use: 'merge' | 'apart' = 'merge'): Promise<Adapter> {
  const found = await stat(path).catch((error: unknown) => {
    throw MqError.from(error, path)
  })
  const folder = localFolder(resolve(found.isDirectory() ? path : dirname(path)))
  const json = await readJsonFile(folder, configName)
  if (json === undefined) {
    const problem = (await folder.names()).includes('config.json')
      ? `it has no ${configName}: it is a model and no adapter`
      : `it has no ${configName}`
    throw MqError.of('ADAPTER_INVALID', { file: folder.path, problem })
  }
  const configFile = join(folder.path, configName)
  const config = readAdapterConfig(json, configFile, use)
  const file = found.isDirectory() ? join(folder.path, weightsName) : resolve(path)
  if (found.isDirectory()) await requireWeights(folder, file)
  const source = await fileSource(file)
  try {
    const { tensors } = await readSafetensorsHeader(source)
    const [{ sha256: ofConfig }, { sha256: ofWeights }] = await Promise.all([hashFile(configFile), hashFile(file)])
    const sha256 = createHash('sha256').update(`${ofConfig}\n${ofWeights}\n`).digest('hex')
    return { name: basename(folder.path), folder, file, sha256, scale, config, ...sorted(tensors, file, config) }
  } finally {
    await source.close()
  }
}

async function requireWeights(folder: CheckpointFolder, file: string): Promise<void> {
  const names = await folder.names()
  if (names.includes(weightsName)) return
  const pickled = names.find((name) => /^adapter_model\.(?:bin|pt)$/.test(name))
  if (pickled !== undefined) {
    throw MqError.of('CHECKPOINT_PICKLED', { file: folder.pathOf(pickled) }).withSuggestion(
      'Save the adapter again with peft: `PeftModel.from_pretrained(BASE, FOLDER).save_pretrained(OTHER)`.',
    )
  }
  throw MqError.of('FILE_MISSING', { path: file })
}

const prefix = /^base_model\.model\./
/** Names of tensors of kinds that are not LoRA, and of other libraries. */
const foreign: readonly (readonly [RegExp, string])[] = [
  [/\.lora_E$|\.ranknum$/, 'an AdaLoRA adapter'],
  [/\.hada_w\d/, 'a LoHa adapter'],
  [/\.lokr_/, 'a LoKr adapter'],
  [/\.ia3_l/, 'an IA3 adapter'],
  [/\.(?:oft|boft)_/, 'an OFT adapter'],
  [/\.vera_lambda/, 'a VeRA adapter'],
  [/(?:^|\.)prompt_embeddings/, 'a prompt tuning adapter'],
  [/\.lora_(?:up|down)\./, 'a LoRA in the layout of diffusion models'],
  [/\.lora_[ab]$/, 'an adapter of MLX'],
]

/** Classifies the tensors of an adapter. @throws MqError ADAPTER_INVALID, ADAPTER_UNSUPPORTED. */
function sorted(
  tensors: ReadonlyMap<string, SafetensorsTensor>,
  file: string,
  { isDora }: AdapterConfig,
): Pick<Adapter, 'modules' | 'saved' | 'tokens'> {
  const parts = new Map<
    string,
    Partial<Record<'a' | 'b' | 'bias' | 'magnitude', SafetensorsTensor>> & { isEmbedding?: boolean }
  >()
  const saved = new Map<string, SavedTensor>()
  const tokens = new Map<string, SafetensorsTensor>()
  for (const [stored, tensor] of tensors) {
    const name = stored.replace(prefix, '')
    requireFloats(stored, tensor, file)
    const put = (module: string, part: 'a' | 'b' | 'bias' | 'magnitude', isEmbedding = false): void => {
      const known = parts.get(module) ?? {}
      if (known[part] !== undefined) throw invalid(file, `it has the tensors of ${module} twice: it holds several adapters`)
      parts.set(module, { ...known, [part]: tensor, ...(isEmbedding && { isEmbedding }) })
    }
    const matrix = /^(.+)\.lora_([AB])(?:\.[\w-]+)?\.(weight|bias)$/.exec(name)
    const embedding = /^(.+)\.lora_embedding_([AB])(?:\.[\w-]+)?$/.exec(name)
    const magnitude = /^(.+)\.lora_magnitude_vector(?:\.[\w-]+?)?(?:\.weight)?$/.exec(name)
    const rows = /^(.+?)\.(?:token_adapter\.)?trainable_tokens_delta(?:\.[\w-]+)?$/.exec(name)
    const whole = /^(.+?)(\.modules_to_save(?:\.[\w-]+)?|\.base_layer)?\.(weight|bias)$/.exec(name)
    if (matrix !== null) {
      const [, module = '', letter, kind] = matrix
      if (kind === 'bias' && letter === 'A') throw invalid(file, `its tensor ${stored} is unknown`)
      put(module, kind === 'bias' ? 'bias' : letter === 'A' ? 'a' : 'b')
    } else if (embedding !== null) put(embedding[1] ?? '', embedding[2] === 'A' ? 'a' : 'b', true)
    else if (magnitude !== null && isDora) put(magnitude[1] ?? '', 'magnitude')
    else if (rows !== null) tokens.set(rows[1] ?? '', tensor)
    else if (/\.(?:original_module|trainable_tokens_original)\b/.test(name)) continue
    else if (whole !== null && !/lora|token_adapter|adapter_/.test(name))
      saved.set(`${whole[1]}.${whole[3]}`, { ...tensor, isBase: whole[2] === '.base_layer' })
    else throw unknownTensor(stored, file)
  }
  const modules = new Map(
    [...parts].map(([module, { a, b, isEmbedding = false, ...more }]): [string, AdaptedModule] => {
      const [left, right] = [a?.shape.length ?? 0, b?.shape.length ?? 0]
      if (a === undefined || b === undefined) throw invalid(file, `it has one of the two matrices of ${module}`)
      if (left !== 2 || right !== 2) {
        const kind = left > 2 ? 'a LoRA of convolutions' : 'incomplete'
        if (left > 2 || right > 2) throw unsupported(file, `${kind} (${module})`)
        throw invalid(file, `the matrices of ${module} have ${left} and ${right} dimensions, where 2 and 2 are needed`)
      }
      if (a.shape[0] !== b.shape[1]) {
        throw invalid(file, `the matrices of ${module} have the ranks ${a.shape[0]} and ${b.shape[1]}`)
      }
      if (isDora && more.magnitude === undefined) throw invalid(file, `it is DoRA and has no magnitudes of ${module}`)
      if (isDora && isEmbedding) throw unsupported(file, `DoRA of an embedding (${module})`)
      return [module, { a, b, isEmbedding, ...more }]
    }),
  )
  if (modules.size + saved.size + tokens.size === 0) throw invalid(file, 'it holds no tensors')
  return { modules, saved, tokens }
}

function requireFloats(name: string, { dtype }: SafetensorsTensor, file: string): void {
  if (['F64', 'F32', 'F16', 'BF16', 'F8_E4M3', 'F8_E5M2'].includes(dtype)) return
  throw invalid(file, `its tensor ${name} is of ${dtype}, where floats are needed`)
}

function unknownTensor(name: string, file: string): MqError {
  const [, kind] = foreign.find(([pattern]) => pattern.test(name)) ?? []
  return kind === undefined ? invalid(file, `its tensor ${name} belongs to no LoRA`) : unsupported(file, kind)
}

function unsupported(file: string, kind: string): MqError {
  const advice = 'Merge it into the model with the library that it was trained with, save that, and convert the folder'
  return MqError.of('ADAPTER_UNSUPPORTED', { file, kind, advice })
}

function invalid(file: string, problem: string): MqError {
  return MqError.of('ADAPTER_INVALID', { file, problem })
}

/** The files of an adapter as a user names it, for those that only identify it. @throws MqError FILE_MISSING. */
export async function filesOfAdapter(
  text: string,
): Promise<{ readonly name: string; readonly scale: number; readonly paths: readonly string[] }> {
  const { path, scale } = await readAdapterSpec(text)
  const found = await stat(path).catch((error: unknown) => {
    throw MqError.from(error, path)
  })
  const folder = resolve(found.isDirectory() ? path : dirname(path))
  const weights = found.isDirectory() ? join(folder, weightsName) : resolve(path)
  return { name: basename(folder), scale, paths: [join(folder, configName), weights] }
}
