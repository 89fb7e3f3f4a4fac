import * as v from 'valibot'
import { MqError } from '../../errors/index.js'
import type { Shape } from '../../recipe/index.js'
import { type Checkpoint, configFileName, textConfigs } from '../checkpoint/index.js'
import { type Rope, readRope } from './rope.js'
import { words } from './words.js'

export { count, countOrNone, finite, flag, isFields, listOf, size, word } from './schemas.js'

export type Fields = Readonly<Record<string, unknown>>

/**
 * config.json as a family reads it: the fields of a nested text model at the root, and transformers' defaults where it is silent. It keeps
 * track of what has been read, so that fields that nobody has read can be judged (see check-config-fields.ts).
 */
export interface ModelConfig {
  readonly checkpoint: Checkpoint
  /** The first of `architectures`. */
  readonly className: string
  /** Fields by name; a name that is looked up here counts as consulted. */
  readonly fields: Fields
  /** All fields; none of them counts as consulted. */
  readonly entries: readonly (readonly [string, unknown])[]
  /** The fields that config.json itself has, without what transformers would fill in. */
  readonly written: Fields
  readonly rope: Rope
  /** Names of fields that `get` and `find` have read. */
  readonly read: ReadonlySet<string>
  /** Names of fields that have been looked up otherwise, such as for the default of another field. */
  readonly consulted: ReadonlySet<string>
  /** Sentences that the user should see. */
  readonly notes: string[]
  /** What becomes of layers for multi-token prediction. */
  readonly mtp: MtpExport
  /** The first of the named fields that is there. @throws MqError CONFIG_INVALID where none is, or it is of another kind. */
  get<const Schema extends v.GenericSchema>(schema: Schema, ...names: readonly string[]): v.InferOutput<Schema>
  /** The same; undefined where none is there or it is null. @throws MqError CONFIG_INVALID where it is of another kind. */
  find<const Schema extends v.GenericSchema>(schema: Schema, ...names: readonly string[]): v.InferOutput<Schema> | undefined
  /** The same configuration with other values; reads and notes are shared. */
  with(fields: Fields): ModelConfig
  /** Whether the checkpoint holds a tensor, by the name that the family knows it by. */
  hasTensor(name: string): boolean
  /** The shape of a tensor of the checkpoint, by the same name; undefined where there is none. */
  shapeOf(name: string): Shape | undefined
  /** CONFIG_INVALID for this checkpoint. */
  invalid(problem: string): MqError
  /** The same for what is right in config.json and cannot be said in GGUF. */
  unsupported(problem: string): MqError
}

/** The fields of config.json with those of a nested text model at the root. */
export function flatFields(config: Fields): Fields {
  const thinker = fieldsOf(config['thinker_config'])
  const nested = textConfigs.map((name) => fieldsOf(config[name])).findLast((found) => found !== undefined)
  const text = fieldsOf(thinker?.['text_config']) ?? nested
  if (text === undefined) return config
  const { architectures: _, quantization_config: __, ...own } = text
  return { ...config, ...own }
}

function fieldsOf(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined
}

/** Layers for multi-token prediction (MTP): with the model, left out, or without it, as a draft model. */
export type MtpExport = 'with' | 'without' | 'only'

/** What makeConfig has to know besides the fields. */
export interface ConfigContext {
  readonly checkpoint: Checkpoint
  readonly className: string
  /** The checkpoint's names of tensors, by those that the family knows them by. */
  readonly tensors: ReadonlyMap<string, string>
  readonly mtp: MtpExport
  /** Names of fields that config.json leaves open and transformers fills in: what it says by another name counts before them. */
  readonly filledIn: ReadonlySet<string>
  /** Names of fields that defaults have been worked out from: see recordingFields. */
  readonly consulted: Set<string>
  /** Names of fields that the family has replaced: config.json does not have those values. */
  readonly replaced?: ReadonlySet<string>
}

/** Fields that add each name that is looked up to `consulted`. */
export function recordingFields(fields: Fields, consulted: Set<string>): Fields {
  return new Proxy(fields, {
    get(target, name) {
      if (typeof name === 'string') consulted.add(name)
      return Reflect.get(target, name) as unknown
    },
  })
}

/** Spellings of a length or a width that are looked for together and mean something of their own where both are there. */
const ownMeaning: ReadonlySet<string> = new Set(
  words(`
  n_ctx n_positions max_length max_sequence_length model_max_length prefix_dense_intermediate_size dense_intermediate_size
  expert_intermediate_size n_inner hidden_dim
`),
)

/** The spellings of fields that most models use, for messages. */
const usualNames: ReadonlySet<string> = new Set(
  words(`
  num_hidden_layers hidden_size intermediate_size num_attention_heads num_key_value_heads max_position_embeddings rms_norm_eps
  layer_norm_eps
`),
)

/** config.json in the form that families read. */
export function makeConfig(fields: Fields, context: ConfigContext, read = new Set<string>(), notes: string[] = []): ModelConfig {
  const { checkpoint, className, tensors, mtp, filledIn, consulted, replaced = new Set() } = context
  let rope: Rope | undefined
  const invalid = (problem: string): MqError => configError(checkpoint, problem)
  const noteOthers = (used: string | undefined, said: readonly string[]): void => {
    if (used === undefined || said.some((name) => ownMeaning.has(name) || replaced.has(name))) return
    const other = said.find((name) => typeof fields[name] === 'number' && fields[name] !== fields[used])
    if (other === undefined) return
    const note = `${configFileName(checkpoint.config)} has ${used} ${showField(fields[used])} and ${other} ${showField(fields[other])} for the same thing: ${used} is used.`
    if (!notes.includes(note)) notes.push(note)
  }
  const find: ModelConfig['find'] = (schema, ...names) => {
    for (const name of names) read.add(name)
    const present = names.filter((name) => fields[name] !== undefined && fields[name] !== null)
    const said = present.filter((name) => !filledIn.has(name))
    const name = said[0] ?? present[0]
    noteOthers(name, said)
    return name === undefined ? undefined : parseField(schema, fields[name], name, invalid)
  }
  const config: ModelConfig = {
    checkpoint,
    className,
    fields: recordingFields(fields, consulted),
    entries: Object.entries(fields),
    written: flatFields(checkpoint.config),
    read,
    consulted,
    notes,
    mtp,
    get rope() {
      rope ??= readRope(config)
      return rope
    },
    find,
    get(schema, ...names) {
      const value = find(schema, ...names)
      if (value === undefined) throw invalid(`${names.find((name) => usualNames.has(name)) ?? names[0]} is missing`)
      return value
    },
    with: (changed) => {
      const left = new Set([...filledIn].filter((name) => !Object.hasOwn(changed, name)))
      const others = new Set([...replaced, ...Object.keys(changed)])
      return makeConfig({ ...fields, ...changed }, { ...context, filledIn: left, replaced: others }, read, notes)
    },
    hasTensor: (name) => tensors.has(name),
    shapeOf: (name) => {
      const stored = tensors.get(name)
      return stored === undefined ? undefined : checkpoint.shapeOf(stored)
    },
    invalid,
    unsupported: (problem) =>
      configError(
        checkpoint,
        problem,
        'This is a limitation of llama.cpp, not a fault of the file: run the model with the library it was made for',
      ),
  }
  return config
}

function parseField<const Schema extends v.GenericSchema>(
  schema: Schema,
  value: unknown,
  name: string,
  invalid: (problem: string) => MqError,
): v.InferOutput<Schema> {
  const result = v.safeParse(schema, value)
  if (result.success) return result.output
  const [issue] = result.issues
  const path = v.getDotPath(issue)
  const field = path === null ? name : `${name}.${path}`
  throw invalid(`${field} is ${showField(issue.input)} (${issue.message})`)
}

/** A value of config.json for a message. */
export function showField(value: unknown): string {
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value)
  return JSON.stringify(value)?.slice(0, 80) ?? 'missing'
}

/** CONFIG_INVALID for this checkpoint. */
export function configError({ path, config }: Pick<Checkpoint, 'path' | 'config'>, problem: string, advice?: string): MqError {
  const file = `${path}/${configFileName(config)}`
  const usual = `Compare ${file} with the same file of the original model, or download it again`
  return MqError.of('CONFIG_INVALID', { file, problem, advice: advice ?? usual })
}
