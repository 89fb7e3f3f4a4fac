import { nearest } from '../../collections/index.js'
import { MqError } from '../../errors/index.js'
import { type Checkpoint, configFileName, mistralFormat } from '../checkpoint/index.js'
import { names } from './base.js'
import { checkConfigFields } from './check-config-fields.js'
import {
  configError,
  count,
  type Fields,
  flatFields,
  type ModelConfig,
  type MtpExport,
  makeConfig,
  recordingFields,
  showField,
  size,
} from './config.js'
import { families, familyOfClass } from './find-family.js'
import { withFusedExperts } from './fused-experts.js'
import { modelTypeNote } from './model-type.js'
import { checkMtp, leaveOutMtp } from './mtp.js'
import { leaveOutMultimodal } from './multimodal.js'
import { isComputedBuffer, silently } from './tensor-mappings.js'
import { noteOtherHead, withOutput } from './tied-output.js'
import type { Entry, Family, FieldTable, Model } from './types.js'

/** Names under `architectures` in config.json that can be converted. */
export const knownClasses: readonly string[] = [...new Set(families.flatMap(({ classes }) => classes))].filter(
  (name) => name !== mistralFormat,
)

/** Forms of a checkpoint that can be converted and have no config.json, in words that a user can search for. */
export const otherForms: readonly string[] = ["Mistral's own form (params.json, consolidated.safetensors)"]

/** What messages call an architecture that is not supported: the only one without a class is Mixtral in Mistral's own form. */
function shownArchitecture(named: unknown): string {
  if (named === mistralFormat) return 'mixture of experts of params.json (Mixtral)'
  return typeof named === 'string' ? named.slice(0, 100) : '(none)'
}

/**
 * What the checkpoint's architecture makes of its config.json.
 * @throws MqError ARCHITECTURE_UNKNOWN, CONFIG_INVALID; OPTION_INVALID where `mtp` does not go with it.
 */
export async function describeModel(checkpoint: Checkpoint, { mtp = 'with' }: { mtp?: MtpExport } = {}): Promise<Model> {
  const { architectures } = checkpoint.config
  if (typeof architectures === 'string')
    throw configError(checkpoint, `architectures is ${showField(architectures)}, where a list of class names is expected`)
  const { named, fields } = classOf(checkpoint.config)
  const family = typeof named === 'string' ? familyOfClass(named, flatFields(checkpoint.config)) : undefined
  if (typeof named !== 'string' || family === undefined) {
    throw MqError.of('ARCHITECTURE_UNKNOWN', {
      file: `${checkpoint.path}/${configFileName(checkpoint.config)}`,
      architecture: shownArchitecture(named),
      count: knownClasses.length,
      nearest: nearest(typeof named === 'string' ? shownArchitecture(named) : 'LlamaForCausalLM', knownClasses, 3).join(', '),
    })
  }
  checkMtp(family, mtp)
  const note = modelTypeNote(fields, named, family)
  const model = await describeFamily(family, checkpoint, named, mtp)
  return note === undefined ? model : { ...model, notes: [note, ...model.notes] }
}

/** Wrappers that have a class of the converter of their own, whatever their text model is called. */
const ownClass: ReadonlySet<string> = new Set([
  'StepVLForConditionalGeneration',
  'Step3p7ForConditionalGeneration',
  'Sarashina2VisionForCausalLM',
  'Exaone4_5_ForConditionalGeneration',
  'KimiK3ForConditionalGeneration',
])

/** The class of a checkpoint, and the fields beside it; of its text model, where that is named and known. Source: get_model_architecture of conversion/base.py, llama.cpp v0.7.0. */
function classOf(config: Fields): { named: unknown; fields: Fields } {
  const first = ({ architectures }: Fields): unknown => (Array.isArray(architectures) ? architectures[0] : undefined)
  const text = config['text_config']
  const inner = (typeof text === 'object' && text !== null ? text : {}) as Fields
  const [outerName, innerName] = [first(config), first(inner)]
  const isOwn = typeof outerName === 'string' && ownClass.has(outerName)
  const isInner = !isOwn && typeof innerName === 'string' && familyOfClass(innerName, flatFields(config)) !== undefined
  return isInner ? { named: innerName, fields: inner } : { named: outerName, fields: config }
}

async function describeFamily(family: Family, checkpoint: Checkpoint, className: string, mtp: MtpExport): Promise<Model> {
  const { architecture, fields: table = {}, quirks = {} } = family
  const written = flatFields(checkpoint.config)
  const consulted = new Set<string>()
  const fields = filledIn(written, table, className, consulted)
  const tensors = new Map<string, string>()
  const open = new Set(Object.keys(fields).filter((name) => written[name] === undefined || written[name] === null))
  const config = makeConfig(fields, { checkpoint, className, tensors, mtp, filledIn: open, consulted })
  const rename = (name: string): string => quirks.rename?.(plainName(name), config) ?? plainName(name)
  for (const name of checkpoint.names) tensors.set(rename(name), name)
  checkHeads(family, config)
  const keys = await family.keys(config)
  const has = (name: string): boolean => tensors.has(name)
  const own = withOutput(withFusedExperts(await family.tensors(config), has), config, quirks, has)
  const mappings = own.filter(({ name }) => leaveOutMtp(config, name) === undefined)
  const expected = new Map(mappings.map((mapping) => [mapping.name, mapping] as const))
  const computed = quirks.computed?.(config) ?? []
  const layers = quirks.layers?.(config) ?? config.get(count, ...names.layers)
  const vocabularySize = quirks.vocabulary?.(config) ?? config.get(size, 'vocab_size')
  const head = await noteOtherHead(config, quirks, [...expected.values()], rename)
  const notes = [...config.notes, ...checkConfigFields(config, table), ...head.notes]
  const { adjustTokenizer } = quirks
  const fullKeys = (entries: readonly Entry[]): Entry[] =>
    // A key that is written again keeps its place.
    [...new Map(entries.map(([key, value]): Entry => [fullKey(architecture, key), value]))]
  return {
    architecture,
    layers,
    experts: Number(keys.find(([key]) => key === 'expert_count')?.[1].value ?? 0),
    vocabularySize,
    firstKeys: fullKeys((await quirks.firstKeys?.(config)) ?? []),
    keys: fullKeys(keys),
    expected,
    computed,
    rename,
    leaveOut: (name) => {
      if (isComputedBuffer(name) || head.leftOut.has(name)) return silently
      const known = rename(name)
      return quirks.leaveOut?.(known, config) ?? leaveOutMtp(config, known) ?? leaveOutMultimodal(name)
    },
    ...(adjustTokenizer !== undefined && {
      adjustTokenizer: (entries, tokenizerConfig) => adjustTokenizer(entries, tokenizerConfig, config),
    }),
    preNames: quirks.preNames ?? {},
    tokenizer: quirks.tokenizer,
    notes,
  }
}

/** @throws MqError CONFIG_INVALID where llama.cpp takes heads to be of another length. */
function checkHeads({ widths, quirks = {} }: Family, config: ModelConfig): void {
  const { head_dim: length, num_attention_heads: heads, hidden_size: hidden } = config.fields
  const isBound = widths?.heads === 'with-embedding' || quirks.headsFillEmbedding === true
  if (!isBound || typeof length !== 'number' || typeof heads !== 'number' || length * heads === hidden) return
  throw config.unsupported(
    `head_dim is ${length}, and llama.cpp takes the ${heads} heads of this architecture together to be as wide as the residual stream, ${String(hidden)}`,
  )
}

/** Multimodal checkpoints keep the text model's tensors under a name of its own. */
function plainName(name: string): string {
  return name.replaceAll('language_model.', '')
}

function fullKey(architecture: string, key: string): string {
  return /^(general|tokenizer|xielu|diffusion)\./.test(key) ? key : `${architecture}.${key}`
}

/** The fields with what transformers fills in. @param consulted gets the names of the fields that it is worked out from. */
function filledIn(fieldsWritten: Fields, table: FieldTable, className: string, consulted: Set<string>): Fields {
  const { defaults = {}, classDefaults = {}, derived, respelled } = table
  const written =
    respelled === undefined ? fieldsWritten : { ...fieldsWritten, ...respelled(recordingFields(fieldsWritten, consulted)) }
  const own = Object.hasOwn(classDefaults, className) ? classDefaults[className] : {}
  const present = Object.fromEntries(Object.entries(written).filter(([, value]) => value !== undefined))
  const fields: Fields = { ...defaults, ...own, ...present }
  if (derived === undefined) return fields
  const missing = Object.entries(derived(recordingFields(fields, consulted), className)).filter(
    ([name]) => fields[name] === undefined || fields[name] === null,
  )
  return { ...fields, ...Object.fromEntries(missing) }
}
