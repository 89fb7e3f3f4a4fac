import * as v from 'valibot'
import { constant } from '../../recipe/index.js'
import type { Fields, ModelConfig } from './config.js'
import { bool, float32, text, uint32 } from './metadata.js'
import { finite, isFields, positive, size } from './schemas.js'
import type { Entry, FieldRule, NamedTensor } from './types.js'

const factors = v.pipe(v.array(finite), v.maxLength(65_536))

/** One way to turn positions into rotations, as rope_parameters (transformers 5) or rope_scaling (before) says it. */
const scaling = v.looseObject({
  rope_type: v.nullish(v.string()),
  type: v.nullish(v.string()),
  rope_theta: v.nullish(positive),
  factor: v.nullish(positive),
  partial_rotary_factor: v.nullish(positive),
  original_max_position_embeddings: v.nullish(size),
  low_freq_factor: v.nullish(positive),
  high_freq_factor: v.nullish(positive),
  truncate: v.nullish(v.boolean()),
  extrapolation_factor: v.nullish(finite),
  attention_factor: v.nullish(finite),
  attn_factor: v.nullish(finite),
  beta_fast: v.nullish(finite),
  beta_slow: v.nullish(finite),
  mscale: v.nullish(finite),
  mscale_all_dim: v.nullish(finite),
  mrope_section: v.nullish(v.pipe(v.array(v.pipe(v.number(), v.integer(), v.minValue(0))), v.maxLength(8))),
  long_factor: v.nullish(factors),
  short_factor: v.nullish(factors),
  alpha: v.nullish(finite),
  llama_4_scaling_beta: v.nullish(finite),
})

type Scaling = v.InferOutput<typeof scaling>

/** The fields that this file reads of one way; others are judged with those of config.json. */
export const ropeFields: ReadonlySet<string> = new Set(Object.keys(scaling.entries))

/** How positions turn into rotations, whichever way the checkpoint writes it. */
export interface Rope extends Scaling {
  /** `default`, `linear`, `dynamic`, `yarn`, `llama3`, `longrope` ... */
  readonly kind: string
  /** Base of the frequencies; undefined where neither config.json nor transformers' defaults say it. */
  readonly theta: number | undefined
  /** Of layers with a sliding window, where they have one of their own. */
  readonly local: Rope | undefined
}

const globalTheta = ['global_rope_theta', 'rope_global_theta', 'rope_theta_global', 'rope_theta', 'rotary_emb_base'] as const
const localTheta = ['local_rope_theta', 'rope_local_theta', 'rope_theta_local', 'swa_rope_theta', 'rope_local_base_freq'] as const

/**
 * Reads rope_parameters, by layer type or for all layers, or rope_scaling with rope_theta and their other spellings.
 * Source: TextModel.__init__ of conversion/base.py, llama.cpp v0.7.0.
 * @throws MqError CONFIG_INVALID.
 */
export function readRope(config: ModelConfig): Rope {
  const written = config.find(v.record(v.string(), v.unknown()), 'rope_parameters', 'rope_scaling') ?? {}
  const field =
    config.fields['rope_parameters'] === undefined || config.fields['rope_parameters'] === null
      ? 'rope_scaling'
      : 'rope_parameters'
  checkOneWay(config)
  checkOneValue(config, written)
  const theta = config.find(positive, ...globalTheta)
  const local = config.find(positive, ...localTheta)
  const original = config.find(size, 'original_max_position_embeddings')
  const parse = (value: unknown, name: string): Scaling => parseScaling(config, value, name)
  if (isFields(written['full_attention']) || isFields(written['sliding_attention'])) {
    const full = parse(written['full_attention'] ?? {}, `${field}.full_attention`)
    const sliding = written['sliding_attention']
    const window = isFields(sliding) ? ropeOf(parse(sliding, `${field}.sliding_attention`)) : undefined
    return ropeOf(full, window, { theta })
  }
  const all = parse(written, field)
  if ((all.rope_type ?? all.type ?? undefined) === undefined && (all.factor ?? 1) !== 1) {
    throw config.invalid(`${field} has a factor of ${all.factor} and no rope_type`)
  }
  const window = local === undefined ? undefined : ropeOf({ ...all, rope_theta: local })
  return ropeOf({ ...all, original_max_position_embeddings: all.original_max_position_embeddings ?? original }, window, { theta })
}

/**
 * Refuses two descriptions that differ: transformers 5 takes rope_scaling, llama.cpp's converter rope_parameters.
 * @throws MqError CONFIG_INVALID.
 */
function checkOneWay(config: ModelConfig): void {
  const { rope_parameters: ours, rope_scaling: theirs } = config.fields
  if (!isFields(ours) || !isFields(theirs) || isFields(ours['full_attention'])) return
  const same = (name: string): boolean => (ours[name] ?? null) === (theirs[name] ?? null)
  const kind = (fields: Readonly<Record<string, unknown>>): unknown => fields['rope_type'] ?? fields['type'] ?? 'default'
  if (Object.keys(theirs).length === 0 || (kind(ours) === kind(theirs) && same('factor'))) return
  throw config.invalid('rope_parameters and rope_scaling contradict each other')
}

/**
 * Refuses a field whose two places hold different values: transformers 5 reads it within rope_parameters, transformers 4 beside it.
 * @param written rope_parameters or rope_scaling.
 * @throws MqError CONFIG_INVALID.
 */
function checkOneValue(config: ModelConfig, written: Fields): void {
  const full = isFields(written['full_attention']) ? written['full_attention'] : written
  for (const [inner, outer] of [
    ['rope_theta', globalTheta],
    ['partial_rotary_factor', ['partial_rotary_factor']],
  ] as const) {
    const name = outer.find((field) => typeof config.written[field] === 'number')
    const [inside, beside] = [full[inner], name === undefined ? undefined : config.written[name]]
    if (typeof inside === 'number' && typeof beside === 'number' && inside !== beside) {
      throw config.invalid(`${name} is ${beside}, and ${inner} in rope_parameters or rope_scaling is ${inside}`)
    }
  }
}

function ropeOf(parameters: Scaling, local?: Rope, { theta }: { theta?: number | undefined } = {}): Rope {
  return {
    ...parameters,
    kind: (parameters.rope_type ?? parameters.type ?? 'default').toLowerCase(),
    theta: parameters.rope_theta ?? theta,
    local,
  }
}

function parseScaling(config: ModelConfig, value: unknown, name: string): Scaling {
  return config.with({ [name]: value }).get(scaling, name)
}

/** Part of each head that is rotated, for families of which not all need be; undefined where nothing says it. @throws MqError CONFIG_INVALID. */
export function rotatedPart(config: ModelConfig): number | undefined {
  const within = config.rope.partial_rotary_factor ?? undefined
  const outside = config.find(
    positive,
    'partial_rotary_factor',
    'rope_pct',
    'rope_percent',
    'rotary_pct',
    'rope.partial_rotary_factor',
  )
  return within ?? outside
}

/**
 * The keys under `{arch}.rope.` that every architecture writes alike.
 * @throws MqError CONFIG_INVALID.
 */
export function ropeKeys(config: ModelConfig): Entry[] {
  const { rope } = config
  const required = <Field extends keyof Rope>(field: Field): NonNullable<Rope[Field]> => {
    const value = rope[field]
    if (value === undefined || value === null) throw config.invalid(`rope_scaling of type ${rope.kind} lacks ${field}`)
    return value
  }
  const optional = (key: string, value: number | null | undefined): Entry[] =>
    value === undefined || value === null ? [] : [[key, float32(value)]]
  const base: Entry[] = [
    ...(rope.mrope_section === undefined || rope.mrope_section === null ? [] : [sections(rope.mrope_section)]),
    ...optional('rope.freq_base', rope.theta),
    ...optional('rope.freq_base_swa', rope.local?.theta),
  ]
  switch (rope.kind) {
    // Multi-axis rotation is said by its sections alone.
    case 'default':
    case 'mrope':
    case 'proportional':
      return base
    case 'llama3':
      // The tensor of factors says the rest.
      if ((rope.low_freq_factor ?? 1) > (rope.high_freq_factor ?? 4)) {
        throw config.invalid('rope_scaling has a low_freq_factor above its high_freq_factor')
      }
      return base
    case 'linear':
      return [['rope.scaling.type', text('linear')], ['rope.scaling.factor', float32(required('factor'))], ...base]
    case 'yarn':
      config.notes.push(...yarnNotes(rope))
      return [
        ['rope.scaling.type', text('yarn')],
        ['rope.scaling.factor', float32(required('factor'))],
        ['rope.scaling.original_context_length', uint32(required('original_max_position_embeddings'))],
        ...(rope.truncate === undefined || rope.truncate === null
          ? []
          : [['rope.scaling.yarn_truncate', bool(rope.truncate)] as const]),
        ...optional('rope.scaling.yarn_ext_factor', rope.extrapolation_factor),
        ...optional('rope.scaling.yarn_attn_factor', rope.attention_factor ?? rope.attn_factor),
        ...attentionFactor(rope, required('factor')),
        ...optional('rope.scaling.yarn_beta_fast', rope.beta_fast),
        ...optional('rope.scaling.yarn_beta_slow', rope.beta_slow),
        ...base,
      ]
    case 'su':
    case 'longrope':
      return [['rope.scaling.type', text('longrope')], ...base]
    case 'dynamic':
      config.notes.push(
        'Dynamic RoPE scaling (dynamic NTK) has no counterpart in GGUF: the model works only within its trained context length.',
      )
      return base
    default:
      throw config.unsupported(`rope_scaling has the type ${rope.kind}, which this architecture does not have`)
  }
}

/** What llama.cpp does not read of a file. Tried with 0.5.0 and 0.7.0: the keys change no perplexity. */
function yarnNotes({ beta_fast: fast, beta_slow: slow, truncate }: Rope): string[] {
  const betas = (fast ?? 32) !== 32 || (slow ?? 1) !== 1
  return [
    ...(betas
      ? [
          `llama.cpp takes 32 and 1 for beta_fast and beta_slow of YaRN, which are ${fast ?? 32} and ${slow ?? 1} in config.json, unless it is told by --yarn-beta-fast and --yarn-beta-slow: some rotations differ.`,
        ]
      : []),
    ...(truncate === false
      ? [
          'llama.cpp rounds the bounds of YaRN to whole dimensions, and config.json says not to (truncate): some rotations differ slightly.',
        ]
      : []),
  ]
}

/**
 * The attention factor of YaRN, where it is not the one that follows from `factor`. llama.cpp reads the key of the converter, and then
 * multiplies by the usual factor in any case; only this key changes the product. Source: the context's yarn_attn_factor in
 * src/llama-context.cpp of llama.cpp.
 */
function attentionFactor(rope: Rope, factor: number): Entry[] {
  const given = rope.attention_factor ?? rope.attn_factor
  if (given === undefined || given === null) return []
  const usual = factor <= 1 ? 1 : 0.1 * Math.log(factor) + 1
  return Math.abs(given / usual - 1) < 1e-6 ? [] : [['rope.scaling.attn_factor', float32(given / usual)]]
}

/** Rules of families whose files cannot say how rotations are scaled, whatever the field's name. */
export const unscaledRope: Readonly<Record<'rope_scaling' | 'rope_parameters', FieldRule>> = {
  rope_scaling: (_, { rope }) => rope.kind === 'default',
  rope_parameters: (_, { rope }) => rope.kind === 'default',
}

/** Rules of families whose files do not say the base of rotations either: llama.cpp takes 10000. */
export const plainRope: Readonly<Record<string, FieldRule>> = {
  ...unscaledRope,
  rope_theta: [10_000],
  rotary_emb_base: [10_000],
  'rope.rope_theta': [10_000],
}

/** Padded to four: time, height, width, extra. */
function sections(values: readonly number[]): Entry {
  const four = [...values, 0, 0, 0, 0].slice(0, 4)
  return ['rope.dimension_sections', { type: 'array', elementType: 'int32', value: four }]
}

/** The tensor of frequency factors that Llama 3's scaling needs; none for other kinds. @param headLength values that are rotated. */
export function ropeFrequencies({ rope }: ModelConfig, headLength: number): NamedTensor[] {
  return rope.kind === 'llama3' ? [{ name: 'rope_freqs.weight', recipe: constant(llama3Factors(rope, headLength)) }] : []
}

/**
 * Llama 3's division of each frequency: 1 for short waves, `factor` for long ones, smooth between. Computed in f32 step by step as
 * llama.cpp's converter does in torch, where a number divided by a tensor is the tensor's reciprocal times the number: so the values
 * agree to the last bit, but where torch's pow is not the nearest f32.
 * @returns headLength / 2 values.
 */
function llama3Factors(rope: Rope, headLength: number): number[] {
  const f32 = Math.fround
  const reciprocal = (value: number): number => f32(1 / value)
  const factor = f32(rope.factor ?? 8)
  const low = rope.low_freq_factor ?? 1
  const high = rope.high_freq_factor ?? 4
  const context = rope.original_max_position_embeddings ?? 8192
  return Array.from({ length: headLength / 2 }, (_, index) => {
    const frequency = reciprocal(f32(f32(rope.theta ?? 10_000) ** f32((2 * index) / headLength)))
    const wavelength = f32(reciprocal(frequency) * f32(2 * Math.PI))
    if (wavelength < f32(context / high)) return 1
    if (wavelength > f32(context / low)) return factor
    const smooth = f32(f32(f32(reciprocal(wavelength) * context) - f32(low)) / f32(high - low))
    return reciprocal(f32(f32(f32(1 - smooth) / factor) + smooth))
  })
}

/** The two tables of LongRoPE: for contexts beyond the original, and within. @param rotated values of each head. @throws MqError CONFIG_INVALID. */
export function longRopeFactors(config: ModelConfig, rotated: number): NamedTensor[] {
  const { long_factor: long, short_factor: short } = config.rope
  if (long === undefined || long === null) return []
  const length = rotated / 2
  if (short === undefined || short === null || short.length !== length || long.length !== length) {
    throw config.invalid(`rope_scaling needs a long_factor and a short_factor of ${length} numbers each`)
  }
  return [
    { name: 'rope_factors_long.weight', recipe: constant(long) },
    { name: 'rope_factors_short.weight', recipe: constant(short) },
  ]
}
